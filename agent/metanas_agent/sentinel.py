"""Sentinel: a fixed piece of work whose time says how fast the machine is at this instant.

A row can be steady in itself and still wrong, because another program shared the core's caches or
execution units for just as long as it was measured. Then the sentinel is slow too.
"""

from __future__ import annotations

from statistics import median

from metanas_agent.sampler import Sampler

_WORST_SLOWDOWN = 1.10
_SAMPLES = 7
_FINEST_CLOCK_MS = 1e-6
_FIRST_CHECKS = 50  # to see the machine at its best before the first row


class Sentinel:
    """Compares the machine with its own best since the sentinel was made.

    Args:
        sampler: runs the fixed work, some microseconds of it.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._best_ms = min(self._time_ms() for _ in range(_FIRST_CHECKS))

    def complaint(self) -> str:
        """Why what is measured now cannot be compared with the rest; empty where it can."""
        now_ms = self._time_ms()
        self._best_ms = min(self._best_ms, now_ms)
        slowdown = now_ms / max(self._best_ms, _FINEST_CLOCK_MS)
        if slowdown <= _WORST_SLOWDOWN:
            return ""
        return f"the machine ran {slowdown - 1:.0%} slower than at its best"

    def _time_ms(self) -> float:
        return median(self._sampler(1) for _ in range(_SAMPLES))
