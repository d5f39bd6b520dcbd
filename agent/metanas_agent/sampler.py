"""Sampler: what is timed. It runs its work some times over and says how long that took.

A runtime reads the clock itself where Python's is not the right one: a static program reads its
own, and a GPU's work is timed by events on the device.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Sampler = Callable[[int], float]
"""From the number of calls, at least 1, to the milliseconds that all of them took together."""


def clocked(
    call: Callable[[], object], *, clock_ns: Callable[[], int] = time.perf_counter_ns
) -> Sampler:
    """The sampler of a Python call, by this process's clock."""

    def sample(repeats: int) -> float:
        begin = clock_ns()
        for _ in range(repeats):
            call()
        return (clock_ns() - begin) / 1e6

    return sample
