"""Cooling: rests of a sweep whose device was throttled, so that its rows can be timed again.

A rest is twice as long as the one before, until a timing is not throttled. All rests together are
bounded: a board with a weak power supply, say, is throttled for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil

from metanas_agent.measurement import Measurement

FIRST_REST_S = 5.0
LONGEST_REST_S = 60.0
ALL_RESTS_S = 300.0

_SLICE_S = 0.5


class Cooling:
    """Says when to rest, and rests. Each sweep has its own."""

    def __init__(self) -> None:
        self._left_s = ALL_RESTS_S
        self._next_s = FIRST_REST_S

    def is_due(self, row: Measurement) -> bool:
        """Whether to rest after this timing."""
        if row.verdict != "throttled":
            self._next_s = FIRST_REST_S
            return False
        return self._left_s > 0

    def rest(self, *, most_s: float, tell: Callable[[str], None]) -> None:
        """Do nothing for a while.

        Args:
            most_s: the longest that it may last.
            tell: told again and again how it goes; may raise to end it.
        """
        rest_s = min(self._next_s, self._left_s)
        self._left_s -= rest_s
        self._next_s = min(2 * self._next_s, LONGEST_REST_S)
        end_s = time.monotonic() + min(rest_s, most_s)
        while (left_s := end_s - time.monotonic()) > 0:
            tell(f"throttled; resting {ceil(left_s)} s")
            time.sleep(min(left_s, _SLICE_S))
        tell("")
