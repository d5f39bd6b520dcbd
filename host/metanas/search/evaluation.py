"""A round's evaluations: all architectures on few tasks, and only the better ones on more."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from metanas.data import Episodes, EpisodeSampler
from metanas.meta import evaluate_loss
from metanas.parallel import Group
from metanas.search.selection import Objectives, ranking
from metanas.search.settings import SearchPlan
from metanas.spaces import Architecture, Genes

A = TypeVar("A", bound=Architecture)

Means = NDArray[np.float64]
"""Mean query loss, and share of query images classified rightly, (2, architectures)."""

_DIVERGED = 1e6  # the loss of a network whose adaptation diverges: last of all, and still JSON


@dataclass(frozen=True, slots=True, eq=False)
class Race:
    """What a round's evaluations gave.

    Args:
        tasks: how many tasks of the round each architecture saw, (architectures,).
        means: over these tasks.
        evaluations: adaptations to a task that it took.
    """

    tasks: NDArray[np.int64]
    means: Means
    evaluations: int


class Evaluator(Generic[A]):
    """Adapts architectures to validation tasks.

    Args:
        plan: what is searched.
        group: the workers; each takes its share of the architectures.
    """

    def __init__(self, plan: SearchPlan[A], group: Group) -> None:
        self.plan = plan
        self.group = group
        self.parameters = plan.parameters.to(group.device)
        self.quick_sampler = plan.quick_sampler

    def race(self, elite: Genes, known: Means | None, children: Genes, task_set: int) -> Race:
        """Evaluate a round's population by successive halving (Jamieson & Talwalkar 2016).

        Every comparison is between architectures that have seen the same tasks.

        Args:
            elite: see all tasks, whatever they give.
            known: their means over just these tasks, where they have seen them before.
            children: see the first tasks, and the better ones of them more.
            task_set: number of the round's tasks.
        """
        tasks, means = self._halved(children, len(elite), task_set)
        evaluations = int(tasks.sum())
        all_tasks = self.plan.settings.tasks
        if known is None:
            known = self._on_all(elite, task_set)
            evaluations += len(elite) * all_tasks
        tasks = np.concatenate([np.full(len(elite), all_tasks), tasks])
        return Race(tasks, np.concatenate([known, means], axis=1), evaluations)

    def compare(self, genes: Genes) -> Means:
        """Evaluate on the final comparison's tasks, which no round uses."""
        batch = self.plan.settings.task_sets * len(self.plan.settings.rungs)
        return self._outcomes(genes, self.plan.sampler, batch, self.plan.settings.final_tasks)

    def objectives(self, genes: Genes, losses: NDArray[np.float64]) -> Objectives:
        """What a selection goes by."""
        costs = [self.plan.costs.of(name, genes) for name in self.plan.front]
        return np.stack([losses, *costs], axis=1)

    def _halved(
        self, children: Genes, elite: int, task_set: int
    ) -> tuple[NDArray[np.int64], Means]:
        """How many tasks each child was found worth, and the means over them."""
        tasks = np.zeros(len(children), np.int64)
        means = np.zeros((2, len(children)))
        left = np.arange(len(children))
        for rung, added in enumerate(self.plan.settings.rungs):
            if rung:
                best = ranking(self.objectives(children[left], means[0, left]))
                left = left[best[: self.plan.settings.survivors(len(left), elite=elite)]]
            tasks[left] += added
            found = self._on_rung(children[left], task_set, rung)
            means[:, left] += (found - means[:, left]) * added / tasks[left]
        return tasks, means

    def _on_all(self, genes: Genes, task_set: int) -> Means:
        means = np.zeros((2, len(genes)))
        for rung, added in enumerate(self.plan.settings.rungs):
            means += self._on_rung(genes, task_set, rung) * added / self.plan.settings.tasks
        return means

    def _on_rung(self, genes: Genes, task_set: int, rung: int) -> Means:
        """On the tasks that one comparison of a round adds."""
        rungs = self.plan.settings.rungs
        batch = task_set * len(rungs) + rung
        return self._outcomes(genes, self.quick_sampler, batch, rungs[rung])

    def _outcomes(self, genes: Genes, sampler: EpisodeSampler, batch: int, tasks: int) -> Means:
        episodes = sampler.batch(batch, tasks, device=self.group.device)
        means = torch.zeros(2, len(genes), dtype=torch.float64)
        by_size = self.plan.space.macs(genes).argsort(kind="stable")  # alike work for all workers
        for place in self.group.share(len(genes)):
            row = int(by_size[place])
            means[:, row] = torch.tensor(self._outcome(genes[row], episodes), dtype=means.dtype)
        return self.group.sum(means).numpy()

    def _outcome(self, genes: Genes, episodes: Episodes) -> tuple[float, float]:
        network = self.plan.space.network(self.plan.space.from_genes(genes))
        loss, accuracy = evaluate_loss(
            network, self.parameters.cut(network), episodes, query_norm=self.plan.query_norm
        )
        return (loss if math.isfinite(loss) else _DIVERGED), accuracy
