"""Sentinel: a fixed piece of work whose time says how fast the machine is at this instant.

A row can be steady in itself and still wrong, because another program shared the core's caches or
execution units for just as long as it was measured. Then the sentinel is slow too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

_WORST_SLOWDOWN = 1.10
_SAMPLES = 7
_FIRST_CHECKS = 50  # to see the machine at its best before the first row


class Sentinel:
    """Compares the machine with its own best since the sentinel was made.

    Args:
        call: the fixed work, some microseconds of it.
        clock_ns: a clock in nanoseconds.
    """

    def __init__(
        self, call: Callable[[], object], *, clock_ns: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self._call = call
        self._clock_ns = clock_ns
        self._best_ns = min(self._time_ns() for _ in range(_FIRST_CHECKS))

    def complaint(self) -> str:
        """Why what is measured now cannot be compared with the rest; empty where it can."""
        now_ns = self._time_ns()
        self._best_ns = min(self._best_ns, now_ns)
        slowdown = now_ns / self._best_ns
        if slowdown <= _WORST_SLOWDOWN:
            return ""
        return f"the machine ran {slowdown - 1:.0%} slower than at its best"

    def _time_ns(self) -> float:
        return median(self._sample_ns() for _ in range(_SAMPLES))

    def _sample_ns(self) -> int:
        begin = self._clock_ns()
        self._call()
        return self._clock_ns() - begin
