"""The adaptation of H-Meta-NAS: a genetic search under constraints (algorithm 1)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from metanas.errors import ConstraintError
from metanas.parallel import Group
from metanas.search.candidate import Candidate, SearchResult
from metanas.search.evaluation import Evaluator
from metanas.search.history import History
from metanas.search.journal import SearchJournal, SearchRound
from metanas.search.population import Breeder
from metanas.search.selection import pareto_front, ranking
from metanas.search.settings import SearchPlan
from metanas.spaces import Architecture, Genes

A = TypeVar("A", bound=Architecture)


class GeneticSearch(Generic[A]):
    """One search: a population that goes from round to round, and a journal of every round.

    Args:
        plan: what to search.
        journal: one line a round; an existing one is gone on from.
    """

    def __init__(self, plan: SearchPlan[A], journal: Path) -> None:
        self.plan = plan
        self.space = plan.space
        self.settings = plan.settings
        self.journal = SearchJournal(journal, plan.flat_settings())
        self.breeder = Breeder(plan)

    def check(self) -> list[SearchRound] | None:
        """The rounds so far, None if there are none; nothing is written.

        Raises:
            ConstraintError: no architecture keeps within the constraints.
            SettingsMismatchError: the journal was made by other settings.
            CheckpointError: the journal cannot be read.
        """
        self.plan.costs.check_possible(self.plan.constraints)
        return self.journal.read()

    def run(
        self, group: Group, *, observer: Callable[[SearchRound], None] | None = None
    ) -> SearchResult:
        """Search, and compare the best on tasks of their own.

        Args:
            group: the workers; each evaluates its share of every population.
            observer: called with each round, in the leading process.

        Raises:
            ConstraintError: no architecture keeps within the constraints.
            SettingsMismatchError: the journal was made by other settings.
            CheckpointError: the journal cannot be read.
        """
        rounds = self.check()
        if rounds is None and group.leads:
            self.journal.begin()
        history = History(rounds or ())
        evaluator = Evaluator(self.plan, group)
        for number in range(len(rounds or ()), self.settings.rounds):
            line = self._round(evaluator, history, number)
            history.add(line)
            if group.leads:
                self.journal.append(line)
                if observer:
                    observer(line)
        return self._result(evaluator, history)

    def _round(self, evaluator: Evaluator[A], history: History, number: int) -> SearchRound:
        started = time.perf_counter()
        elite, children = self._population(evaluator, history, number)
        genes = np.concatenate([elite, children])
        texts = self._texts(genes)
        task_set = number // self.settings.task_rounds
        known = history.seen(texts[: len(elite)], task_set)
        race = evaluator.race(elite, known, children, task_set)
        losses, accuracies = race.means
        return SearchRound(
            round=number,
            task_set=task_set,
            architectures=tuple(texts),
            tasks=tuple(race.tasks.tolist()),
            losses=_rounded(losses),
            accuracies=_rounded(accuracies),
            costs={name: _rounded(self.plan.costs.of(name, genes)) for name in self.plan.costs},
            evaluations=race.evaluations,
            seconds=round(time.perf_counter() - started, 3),
        )

    def _population(
        self, evaluator: Evaluator[A], history: History, number: int
    ) -> tuple[Genes, Genes]:
        """The best of the last population, and what is new."""
        parents = self._encode(history.parents)
        if not number:
            return parents, self.breeder.first()
        best = ranking(evaluator.objectives(parents, history.losses(history.parents)))
        elite = parents[best[: self.settings.elite]]
        return elite, self.breeder.children(elite, number, known=history.known)

    def _result(self, evaluator: Evaluator[A], history: History) -> SearchResult:
        genes = self._within(history.compared)
        losses = history.losses(self._texts(genes))
        best = losses.argsort(kind="stable")[: self.settings.finalists]
        front = self._front(losses, genes)
        compared = np.concatenate([best, np.setdiff1d(front, best)])
        candidates = self._candidates(evaluator, genes[compared])
        finalists = sorted(candidates[: len(best)], key=lambda candidate: candidate.loss)
        return SearchResult(
            winner=finalists[0],
            finalists=tuple(finalists),
            front=self._found_front(candidates),
            front_costs=self.plan.front_costs,
            evaluated=len(history.known),
            evaluations=history.evaluations,
        )

    def _within(self, texts: Sequence[str]) -> Genes:
        """Those that keep within the constraints: rows may have been measured since they did."""
        genes = self._encode(texts)
        kept = self.plan.costs.satisfied(self.plan.constraints, genes)
        if not kept.any():
            limits = ", ".join(map(str, self.plan.constraints))
            raise ConstraintError(
                f"none of the {len(texts)} architectures that were evaluated keeps within "
                f"{limits} any more, now that rows are measured",
                hint="adapt again in another run folder, with the measured table",
            )
        return genes[kept]

    def _front(self, losses: NDArray[np.float64], genes: Genes) -> NDArray[np.intp]:
        """Rows of the front by what the rounds said, the most apart of them if it is large."""
        costs = [self.plan.costs.of(name, genes) for name in self.plan.front_costs]
        objectives = np.stack([losses, *costs], axis=1)
        front = pareto_front(objectives)
        return front[ranking(objectives[front])[: self.settings.front_size]]

    def _found_front(self, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        names = self.plan.front_costs
        objectives = [[*map(c.costs.get, names), -c.accuracy] for c in candidates]
        return tuple(candidates[row] for row in pareto_front(np.array(objectives, np.float64)))

    def _candidates(self, evaluator: Evaluator[A], genes: Genes) -> list[Candidate]:
        losses, accuracies = map(_rounded, evaluator.compare(genes))
        costs = {name: self.plan.costs.of(name, genes) for name in self.plan.costs}
        return [
            Candidate(
                architecture=text,
                loss=losses[row],
                accuracy=accuracies[row],
                costs={name: float(values[row]) for name, values in costs.items()},
            )
            for row, text in enumerate(self._texts(genes))
        ]

    def _texts(self, genes: Genes) -> list[str]:
        return [str(self.space.from_genes(row)) for row in genes]

    def _encode(self, texts: Iterable[str]) -> Genes:
        return self.space.encode([self.space.parse(text) for text in texts])


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)
