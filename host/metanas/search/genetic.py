"""The adaptation of H-Meta-NAS: a genetic search under constraints (algorithm 1)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from metanas.data import EpisodeSampler
from metanas.errors import CheckpointError, ConstraintError
from metanas.files import append_json_line, read_json_lines
from metanas.meta import MetaParameters, QueryNorm, check_same_settings, evaluate_loss
from metanas.parallel import Group
from metanas.search.constraints import Constraint, Costs
from metanas.spaces import Architecture, Genes, SearchSpace

A = TypeVar("A", bound=Architecture)

_STREAM = 0x6E  # keeps these draws apart from other uses of the seed
_DRAWS = 4096
_MOST_DRAWS = 64
_DIVERGED = 1e6  # the loss of a network whose adaptation diverges: last of all, and still JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """Algorithm 1's numbers.

    Args:
        population: P.
        rounds: M.
        tasks: validation tasks of a round.
        elite_share: share of the population that is kept and mutated.
        choices: genes that a mutation changes.
        crossover_share: share of the children that have two parents before they are mutated;
            algorithm 1 has none.
        finalists: architectures with the least mean loss that are compared at the end.
        final_tasks: validation tasks of that comparison.
        seed: of the population, the mutations and the tasks.
    """

    population: int = 100
    rounds: int = 200
    tasks: int = 16
    elite_share: float = 0.1
    choices: int = 2
    crossover_share: float = 0.0
    finalists: int = 5
    final_tasks: int = 64
    seed: int = 0

    @property
    def elite(self) -> int:
        """Architectures that survive a round."""
        return max(1, round(self.population * self.elite_share))


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture that was evaluated.

    Args:
        architecture: its text.
        loss: mean query loss over the validation tasks it saw.
        accuracy: mean share of query images classified rightly.
        costs: every cost by name.
    """

    architecture: str
    loss: float
    accuracy: float
    costs: dict[str, float]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    Args:
        winner: the finalist with the least loss.
        finalists: all of them, best first.
        evaluated: every distinct architecture that was evaluated and keeps within the limits.
    """

    winner: Candidate
    finalists: tuple[Candidate, ...]
    evaluated: tuple[Candidate, ...]

    def front(self, cost: str) -> tuple[Candidate, ...]:
        """The Pareto front of accuracy against a cost, cheapest first."""
        front: list[Candidate] = []
        for candidate in sorted(self.evaluated, key=lambda c: (c.costs[cost], -c.accuracy)):
            if not front or candidate.accuracy > front[-1].accuracy:
                front.append(candidate)
        return tuple(front)


@dataclass(frozen=True, kw_only=True)
class SearchPlan(Generic[A]):
    """What to search, on what, and how.

    Args:
        space: to search.
        parameters: of the trained super-network, outside any graph.
        sampler: validation tasks.
        costs: what architectures cost.
        constraints: limits; only architectures within all of them are ever evaluated.
        settings: algorithm 1's numbers.
        query_norm: batch-norm protocol of the query images.
        context: what else a journal must have been made by to be gone on from.
    """

    space: SearchSpace[A]
    parameters: MetaParameters
    sampler: EpisodeSampler
    costs: Costs
    constraints: tuple[Constraint, ...]
    settings: SearchSettings
    query_norm: QueryNorm
    context: dict[str, Any]

    def flat_settings(self) -> dict[str, Any]:
        """Flat values that a journal is compared by."""
        plan = self.context | self.space.settings | asdict(self.settings)
        constraints = list(map(str, self.constraints))
        return plan | {"constraints": constraints, "query_norm": self.query_norm}


class GeneticSearch(Generic[A]):
    """One search: a population that goes from round to round, and a journal of every round.

    Args:
        plan: what to search.
        journal: one line a round; an existing one is gone on from.
    """

    def __init__(self, plan: SearchPlan[A], journal: Path) -> None:
        self.plan = plan
        self.space = plan.space
        self.costs = plan.costs
        self.constraints = plan.constraints
        self.settings = plan.settings
        self.journal = journal

    def run(
        self, group: Group, *, observer: Callable[[dict[str, Any]], None] | None = None
    ) -> SearchResult:
        """Search, and give the whole of what was evaluated.

        Args:
            group: the workers; each evaluates its share of every population.
            observer: called with each round's journal line, in the leading process.

        Raises:
            ConstraintError: no architecture keeps within the constraints.
            SettingsMismatchError: the journal was made by other settings.
            CheckpointError: the journal cannot be read.
        """
        self.costs.check_possible(self.constraints)
        rounds = self._past_rounds(group)
        population = self._next_population(rounds) if rounds else self._first_population()
        for index in range(len(rounds), self.settings.rounds):
            line = self._evaluate(group, population, index, self.settings.tasks)
            rounds.append(line)
            if group.leads:
                append_json_line(self.journal, line)
                if observer:
                    observer(line)
            population = self._next_population(rounds)
        return self._finish(group, rounds)

    def _past_rounds(self, group: Group) -> list[dict[str, Any]]:
        asked = self.plan.flat_settings()
        try:
            lines = read_json_lines(self.journal)
        except ValueError as error:
            raise CheckpointError(
                f"cannot read search journal {self.journal}: {error}", hint="delete it"
            ) from error
        if not lines:
            if group.leads:
                append_json_line(self.journal, {"settings": asked})
            return []
        header, *rounds = lines
        if not isinstance(header, dict) or "settings" not in header:
            raise CheckpointError(f"{self.journal} is no search journal", hint="delete it")
        check_same_settings(self.journal, header["settings"], asked)
        return rounds

    def _rng(self, index: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, _STREAM, index])

    def _first_population(self) -> Genes:
        """Random architectures within the constraints."""
        rng = self._rng(0)

        def draw() -> Genes:
            return self.space.sample(_DRAWS, rng)

        drawn = self._distinct(draw, self.settings.population, known=set())
        if not len(drawn):
            cheapest = [self.costs.cheapest(constraint.cost)[0] for constraint in self.constraints]
            parents = np.unique(np.concatenate(cheapest), axis=0)

            def descend() -> Genes:
                picked = rng.integers(len(parents), size=_DRAWS)
                return self.space.mutate(parents[picked], rng, choices=self.settings.choices)

            within = parents[self.costs.satisfied(self.constraints, parents)]
            known = {str(self.space.from_genes(row)) for row in within}
            wanted = self.settings.population - len(within)
            drawn = np.concatenate([within, self._distinct(descend, wanted, known=known)])
            drawn = drawn[: self.settings.population]
        if not len(drawn):
            names = "; ".join(
                f"{c.cost} is at least {self.costs.cheapest(c.cost)[1]:.4g} "
                f"({self.space.from_genes(self.costs.cheapest(c.cost)[0][0])})"
                for c in self.constraints
            )
            raise ConstraintError(
                f"no architecture found within {', '.join(map(str, self.constraints))} together",
                hint=f"each alone is possible: {names}; loosen one",
            )
        return drawn

    def _next_population(self, rounds: list[dict[str, Any]]) -> Genes:
        """The best of the last population, and children of them that were never evaluated."""
        rng = self._rng(len(rounds))
        means = self._means(rounds)
        last = sorted(rounds[-1]["architectures"], key=lambda text: means[text][0])
        elite = self.space.encode([self.space.parse(t) for t in last[: self.settings.elite]])

        def children() -> Genes:
            mothers, fathers = elite[rng.integers(len(elite), size=(2, _DRAWS))]
            crossed = rng.random((_DRAWS, 1)) < self.settings.crossover_share
            parents = np.where(crossed, self.space.crossover(mothers, fathers, rng), mothers)
            return self.space.mutate(parents, rng, choices=self.settings.choices)

        wanted = self.settings.population - len(elite)
        return np.concatenate([elite, self._distinct(children, wanted, known=set(means))])

    def _distinct(self, draw: Callable[[], Genes], count: int, *, known: set[str]) -> Genes:
        """Draw until there are `count` new ones within the constraints, or none come any more."""
        found: dict[str, Genes] = {}
        for _ in range(_MOST_DRAWS if count > 0 else 0):
            genes = draw()
            for row in genes[self.costs.satisfied(self.constraints, genes)]:
                text = str(self.space.from_genes(row))
                if text not in known:
                    found.setdefault(text, row)
                if len(found) == count:
                    return np.stack(list(found.values()))
        rows = list(found.values())
        return np.stack(rows) if rows else self.space.encode([])

    def _evaluate(self, group: Group, genes: Genes, index: int, tasks: int) -> dict[str, Any]:
        """Adapt each architecture to the round's tasks: one journal line."""
        started = time.perf_counter()
        outcome = torch.zeros(2, len(genes), dtype=torch.float64)
        episodes = self.plan.sampler.batch(index, tasks)
        for position in group.share(len(genes)):
            network = self.space.network(self.space.from_genes(genes[position]))
            parameters = self.plan.parameters.cut(network)
            loss, accuracy = evaluate_loss(
                network, parameters, episodes, query_norm=self.plan.query_norm
            )
            outcome[0, position] = loss if math.isfinite(loss) else _DIVERGED
            outcome[1, position] = accuracy
        losses, accuracies = group.sum(outcome).tolist()
        return {
            "round": index,
            "architectures": [str(self.space.from_genes(row)) for row in genes],
            "losses": _rounded(losses),
            "accuracies": _rounded(accuracies),
            "costs": {name: _rounded(self.costs.of(name, genes)) for name in self.costs},
            "seconds": round(time.perf_counter() - started, 3),
        }

    def _means(self, rounds: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
        """Mean loss and accuracy of each architecture over all the rounds it lived in."""
        seen: dict[str, list[tuple[float, float]]] = {}
        for line in rounds:
            outcomes = zip(line["losses"], line["accuracies"], strict=True)
            for text, outcome in zip(line["architectures"], outcomes, strict=True):
                seen.setdefault(text, []).append(outcome)
        return {text: _mean(outcomes) for text, outcomes in seen.items()}

    def _finish(self, group: Group, rounds: list[dict[str, Any]]) -> SearchResult:
        means = self._means(rounds)
        ranked = self._within(sorted(means, key=lambda text: means[text][0]))
        best = ranked[: self.settings.finalists]
        genes = self.space.encode([self.space.parse(text) for text in best])
        # Tasks that no round has used, so that the winner is not the luckiest.
        final = self._evaluate(group, genes, self.settings.rounds, self.settings.final_tasks)
        outcomes = dict(
            zip(best, zip(final["losses"], final["accuracies"], strict=True), strict=True)
        )
        by_loss = sorted(outcomes, key=lambda text: outcomes[text][0])
        finalists = self._candidates({text: outcomes[text] for text in by_loss})
        evaluated = self._candidates({text: means[text] for text in ranked} | outcomes)
        return SearchResult(finalists[0], finalists, evaluated)

    def _within(self, texts: list[str]) -> list[str]:
        """Those that keep within the constraints: rows may have been measured since they did."""
        genes = self.space.encode([self.space.parse(text) for text in texts])
        kept = self.costs.satisfied(self.constraints, genes)
        if not kept.any():
            raise ConstraintError(
                f"none of the {len(texts)} architectures that were evaluated keeps within "
                f"{', '.join(map(str, self.constraints))} any more, now that rows are measured",
                hint="adapt again in another run folder, with the measured table",
            )
        return [text for text, keep in zip(texts, kept, strict=True) if keep]

    def _candidates(self, outcomes: dict[str, tuple[float, float]]) -> tuple[Candidate, ...]:
        genes = self.space.encode([self.space.parse(text) for text in outcomes])
        costs = {name: self.costs.of(name, genes) for name in self.costs}
        return tuple(
            Candidate(text, loss, accuracy, {n: float(v[row]) for n, v in costs.items()})
            for row, (text, (loss, accuracy)) in enumerate(outcomes.items())
        )


def _mean(outcomes: list[tuple[float, float]]) -> tuple[float, float]:
    losses, accuracies = zip(*outcomes, strict=True)
    return sum(losses) / len(losses), sum(accuracies) / len(accuracies)


def _rounded(values: Sequence[float] | NDArray[np.float64]) -> list[float]:
    return [round(float(value), 6) for value in values]
