"""Populations: where the architectures of a round come from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Generic, TypeVar

import numpy as np

from metanas.errors import ConstraintError
from metanas.search.settings import SearchPlan
from metanas.spaces import Architecture, Genes

A = TypeVar("A", bound=Architecture)

_STREAM = 0x6E  # keeps these draws apart from other uses of the seed
_DRAWS = 4096
_MOST_DRAWS = 64


class Breeder(Generic[A]):
    """Draws architectures within the constraints: a pure function of the seed and the round.

    Args:
        plan: what is searched.
    """

    def __init__(self, plan: SearchPlan[A]) -> None:
        self.plan = plan
        self.space = plan.space
        self.settings = plan.settings

    def first(self) -> Genes:
        """The warm start's architectures, then random ones.

        Where no random architecture keeps within the constraints, mutants of the warm start's and
        of the cheapest ones.

        Raises:
            ConstraintError: none was found.
        """
        rng = self._rng(0)
        wanted = self.settings.population
        warm = self._distinct([self.space.encode(self.plan.warm_start)], wanted, known=())
        population = self._filled(warm, lambda: self.space.sample(_DRAWS, rng))
        if len(population) == len(warm):
            population = self._descended(warm, rng)
        if not len(population):
            raise self._nothing_found()
        return population

    def children(self, parents: Genes, number: int, *, known: Collection[str]) -> Genes:
        """Children of a round's elite, none of which is known: as many as the population lacks."""
        rng = self._rng(number)

        def draw() -> Genes:
            mothers, fathers = parents[rng.integers(len(parents), size=(2, _DRAWS))]
            crossed = rng.random((_DRAWS, 1)) < self.settings.crossover_share
            bred = np.where(crossed, self.space.crossover(mothers, fathers, rng), mothers)
            return self.space.mutate(bred, rng, choices=self.settings.choices)

        lacking = self.settings.population - len(parents)
        return self._distinct(_repeated(draw), lacking, known=known)

    def _rng(self, number: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, _STREAM, number])

    def _descended(self, warm: Genes, rng: np.random.Generator) -> Genes:
        costs = self.plan.costs
        cheapest = [costs.cheapest(constraint.cost)[0] for constraint in self.plan.constraints]
        parents = np.concatenate([warm, *cheapest])
        start = self._distinct([parents], self.settings.population, known=())

        def draw() -> Genes:
            picked = rng.integers(len(parents), size=_DRAWS)
            return self.space.mutate(parents[picked], rng, choices=self.settings.choices)

        return self._filled(start, draw)

    def _filled(self, start: Genes, draw: Callable[[], Genes]) -> Genes:
        """The start, and drawn ones until the population is whole."""
        known = {str(self.space.from_genes(row)) for row in start}
        lacking = self.settings.population - len(start)
        return np.concatenate([start, self._distinct(_repeated(draw), lacking, known=known)])

    def _distinct(self, draws: Iterable[Genes], count: int, *, known: Collection[str]) -> Genes:
        """The first `count` new ones within the constraints; fewer where no more are drawn."""
        found: dict[str, Genes] = {}
        for row in self._within(draws):
            if len(found) >= count:
                break
            text = str(self.space.from_genes(row))
            if text not in known:
                found.setdefault(text, row)
        return np.stack([*found.values()]) if found else self.space.encode([])

    def _within(self, draws: Iterable[Genes]) -> Iterator[Genes]:
        for genes in draws:
            yield from genes[self.plan.costs.satisfied(self.plan.constraints, genes)]

    def _nothing_found(self) -> ConstraintError:
        costs, constraints = self.plan.costs, self.plan.constraints
        names = "; ".join(
            f"{c.cost} is at least {costs.cheapest(c.cost)[1]:.4g} "
            f"({self.space.from_genes(costs.cheapest(c.cost)[0][0])})"
            for c in constraints
        )
        return ConstraintError(
            f"no architecture found within {', '.join(map(str, constraints))} together",
            hint=f"each alone is possible: {names}; loosen one",
        )


def _repeated(draw: Callable[[], Genes]) -> Iterator[Genes]:
    return (draw() for _ in range(_MOST_DRAWS))
