"""What all rounds together say of an architecture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metanas.search.journal import SearchRound


@dataclass(frozen=True, slots=True)
class _Mean:
    loss: float = 0.0
    count: int = 0

    def with_one_more(self, loss: float) -> _Mean:
        count = self.count + 1
        return _Mean(self.loss + (loss - self.loss) / count, count)


class History:
    """Mean loss of each architecture over the task sets that it saw all of.

    One set of tasks is harder than another. By how much, the architectures say that had seen
    others before; all losses are corrected by that, so that none is thought good for having met
    easy tasks.
    """

    def __init__(self, rounds: Iterable[SearchRound] = ()) -> None:
        self.known: set[str] = set()
        self.evaluations = 0
        self._means: dict[str, _Mean] = {}
        self._last: SearchRound | None = None
        self._harder = 0.0
        self._met: set[str] = set()
        for line in rounds:
            self.add(line)

    def add(self, line: SearchRound) -> None:
        """Learn what a round tells."""
        losses = {text: loss for text, (loss, _) in line.complete.items()}
        if self._last is None or line.task_set != self._last.task_set:
            self._harder = self._difference(losses)
            self._met = set()
        for text in losses.keys() - self._met:
            mean = self._means.get(text, _Mean())
            self._means[text] = mean.with_one_more(losses[text] - self._harder)
        self._met |= losses.keys()
        self.known.update(line.architectures)
        self.evaluations += line.evaluations
        self._last = line

    @property
    def parents(self) -> list[str]:
        """Those that saw all tasks of the last round: what the next one may descend from."""
        return list(self._last.complete) if self._last else []

    @property
    def compared(self) -> list[str]:
        """Those that saw all tasks of some set, in alphabetical order."""
        return sorted(self._means)

    def losses(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """Mean loss of each."""
        return np.array([self._means[text].loss for text in texts], np.float64)

    def seen(self, parents: Sequence[str], task_set: int) -> NDArray[np.float64] | None:
        """Losses and accuracies of some parents on a task set, (2, parents).

        None if the last round had other tasks.
        """
        if self._last is None or self._last.task_set != task_set:
            return None
        complete = self._last.complete
        return np.array([complete[text] for text in parents], np.float64).reshape(-1, 2).T

    def _difference(self, losses: Mapping[str, float]) -> float:
        """By how much new tasks are harder, from those that met both them and earlier ones."""
        shifts = [
            loss - self._means[text].loss for text, loss in losses.items() if text in self._means
        ]
        return sum(shifts) / len(shifts) if shifts else 0.0
