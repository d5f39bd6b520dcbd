"""What a search is asked for: algorithm 1's numbers, and what it searches."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, TypeVar

from metanas.data import EpisodeSampler
from metanas.errors import InvalidSettingsError
from metanas.meta import MetaParameters, QueryNorm
from metanas.search.constraints import LATENCY, Constraint, Costs
from metanas.spaces import Architecture, SearchSpace

A = TypeVar("A", bound=Architecture)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """Algorithm 1's numbers, and how its evaluations are spared.

    Args:
        population: P.
        rounds: M.
        tasks: validation tasks of a round.
        task_rounds: rounds in a row that share their tasks, so that the elite need not be
            evaluated again in each; with 1 each round has new tasks, as algorithm 1 has it.
        first_tasks: tasks on which new architectures are compared before the better ones see
            more; as many as `tasks` evaluates all of them on all tasks, as algorithm 1 has it.
        reduction: by which the number of architectures shrinks, and that of tasks grows, from one
            comparison of a round to the next.
        queries: query images of a class in the rounds, at most; the final comparison has all.
        elite_share: share of the population that is kept and mutated.
        choices: genes that a mutation changes.
        crossover_share: share of the children that have two parents before they are mutated;
            algorithm 1 has none.
        finalists: architectures with the least mean loss that are compared at the end.
        front_size: members of the front before that comparison, at most.
        final_tasks: validation tasks of that comparison.
        seed: of the population, the mutations and the tasks.

    Raises:
        InvalidSettingsError: a number is out of its range.
    """

    population: int = 100
    rounds: int = 200
    tasks: int = 16
    task_rounds: int = 5
    first_tasks: int = 2
    reduction: int = 4
    queries: int = 5
    elite_share: float = 0.1
    choices: int = 2
    crossover_share: float = 0.0
    finalists: int = 5
    front_size: int = 32
    final_tasks: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        least = dict.fromkeys(_COUNTS, 1) | {"reduction": 2}
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise InvalidSettingsError(f"{name} is {getattr(self, name)}, less than {lowest}")
        for name in ("elite_share", "crossover_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidSettingsError(f"{name} is {getattr(self, name)}, not from 0 to 1")

    @property
    def elite(self) -> int:
        """Architectures that survive a round."""
        return max(1, round(self.population * self.elite_share))

    @property
    def rungs(self) -> tuple[int, ...]:
        """Tasks that each comparison of a round adds; together they are `tasks`."""
        totals = [min(self.first_tasks, self.tasks)]
        while totals[-1] < self.tasks:
            totals.append(min(totals[-1] * self.reduction, self.tasks))
        return tuple(now - before for before, now in zip([0, *totals], totals, strict=False))

    @property
    def task_sets(self) -> int:
        """How many times the rounds draw new tasks."""
        return math.ceil(self.rounds / self.task_rounds)

    def survivors(self, contenders: int, *, elite: int) -> int:
        """How many of a comparison's new architectures take part in the next one.

        Together with the elite that there is, they are enough for a whole one.
        """
        best = max(self.elite - elite, math.ceil(contenders / self.reduction))
        return min(contenders, best)


_COUNTS = (
    *("population", "rounds", "tasks", "task_rounds", "first_tasks", "queries", "choices"),
    *("finalists", "front_size", "final_tasks"),
)


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
        front: names of costs. If there are any, a round's best are those that no other one beats
            in both loss and all of these (NSGA-II); otherwise those with the least loss.
        warm_start: architectures that the first population begins with, as far as they keep
            within the constraints.
    """

    space: SearchSpace[A]
    parameters: MetaParameters
    sampler: EpisodeSampler
    costs: Costs
    constraints: tuple[Constraint, ...]
    settings: SearchSettings
    query_norm: QueryNorm
    context: dict[str, Any]
    front: tuple[str, ...] = ()
    warm_start: tuple[A, ...] = ()

    @property
    def quick_sampler(self) -> EpisodeSampler:
        """The sampler with no more query images than the rounds need."""
        queries = min(self.settings.queries, self.sampler.settings.queries)
        settings = replace(self.sampler.settings, queries=queries)
        return EpisodeSampler(self.sampler.image_set, settings, self.sampler.seed)

    @property
    def front_costs(self) -> tuple[str, ...]:
        """What the found front sets accuracy against; a constrained latency unless asked."""
        limited = [constraint.cost for constraint in self.constraints] or ["macs"]
        return self.front or (min(limited, key=lambda cost: not cost.startswith(LATENCY)),)

    def flat_settings(self) -> dict[str, Any]:
        """Flat values that a journal is compared by."""
        return (
            self.context
            | self.space.settings
            | asdict(self.settings)
            | {
                "constraints": list(map(str, self.constraints)),
                "query_norm": self.query_norm,
                "front": list(self.front),
                "warm_start": list(map(str, self.warm_start)),
            }
        )
