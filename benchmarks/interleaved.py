"""Times many things in one shuffled run, so that all of them see the same disturbances.

Around every timing a sentinel is timed. Where it is off its median over the run, the machine was
slower or faster than usual, and the timing between gives way to others.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 0.05
"""A sentinel further than this share from its median is off."""

Times = NDArray[np.float64]
"""Milliseconds."""

Task = Callable[[], Times]
"""Builds something, times it and lets go of it; gives the milliseconds of each of its parts."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One timing: of each part, all in all, and between which two timings of the sentinel."""

    parts_ms: Times
    seconds: float
    sentinels: tuple[int, int]

    @property
    def total_ms(self) -> float:
        return float(self.parts_ms.sum())


@dataclass
class Run:
    """Everything that was timed.

    Args:
        timings: of each task, in the order in which they were made.
        sentinel_ms: all timings of the sentinel.
        processor_share: of the run in which this process ran; the rest went to others.
    """

    timings: dict[str, list[Timing]]
    sentinel_ms: list[float] = field(default_factory=list)
    processor_share: float = 1.0

    def best(self, name: str) -> Times:
        """Of each part, from the fastest of the trusted timings (of all where none is)."""
        return min(self._usable(name), key=lambda timing: timing.total_ms).parts_ms

    def halves(self, name: str) -> tuple[float, float] | None:
        """The fastest of every other trusted timing and of the rest, none of fewer than two."""
        totals = [timing.total_ms for timing in self.trusted(name)]
        return (min(totals[0::2]), min(totals[1::2])) if len(totals) > 1 else None

    def seconds(self, names: Sequence[str]) -> float:
        """What one timing takes, building included, as the mean over some tasks."""
        return float(np.mean([self._usable(name)[0].seconds for name in names]))

    def trusted(self, name: str) -> list[Timing]:
        """Timings between two sentinels that were both as usual."""
        off = np.abs(np.array(self.sentinel_ms) / np.median(self.sentinel_ms) - 1) > TOLERANCE
        return [timing for timing in self.timings[name] if not off[[*timing.sentinels]].any()]

    def _usable(self, name: str) -> list[Timing]:
        return self.trusted(name) or self.timings[name]


def time_interleaved(
    tasks: Mapping[str, Task],
    sentinel: Callable[[], float],
    *,
    rounds: int,
    again: int,
    rng: np.random.Generator,
) -> Run:
    """Time all tasks in some rounds, each in a new order; then the doubtful ones again.

    Args:
        tasks: by name.
        sentinel: times fixed work, in milliseconds.
        rounds: how many trusted timings of each task are wanted.
        again: how many more passes are made over those that lack some.
        rng: of the order.
    """
    run = Run({name: [] for name in tasks})
    begin = time.perf_counter(), time.process_time()
    run.sentinel_ms.append(sentinel())
    for number in range(rounds + again):
        short = [name for name in tasks if len(run.trusted(name)) < min(number + 1, rounds)]
        due = short if number >= rounds else list(tasks)
        for done, place in enumerate(rng.permutation(len(due))):
            _time_once(run, due[place], tasks[due[place]], sentinel)
            if done % 20 == 0 or done + 1 == len(due):
                _show(f"pass {number + 1} of at most {rounds + again}: {done + 1} of {len(due)}")
    print(file=sys.stderr)
    spent = time.process_time() - begin[1]
    run.processor_share = spent / (time.perf_counter() - begin[0])
    return run


def _time_once(run: Run, name: str, task: Task, sentinel: Callable[[], float]) -> None:
    begin = time.perf_counter()
    parts_ms = task()
    seconds = time.perf_counter() - begin
    run.sentinel_ms.append(sentinel())
    last = len(run.sentinel_ms) - 1
    run.timings[name].append(Timing(parts_ms, seconds, (last - 1, last)))


def _show(progress: str) -> None:
    print(f"\r{progress:60}", end="", file=sys.stderr, flush=True)
