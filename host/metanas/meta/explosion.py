"""When a training that still computes finite numbers has nevertheless diverged."""

from __future__ import annotations

import math

GUESSES = 10
"""An exploding loss is above so many times that of guessing."""

STEPS = 20
"""Outer steps in a row with such a loss that end training: one unlucky batch does not."""


class ExplosionWatch:
    """Counts the outer steps in a row whose loss explodes.

    Args:
        ways: classes of a task; who guesses has the loss ln(ways).
    """

    def __init__(self, ways: int) -> None:
        self.limit = GUESSES * math.log(ways)
        self.steps = 0

    def see(self, loss: float) -> None:
        """Note an outer step's loss."""
        self.steps = self.steps + 1 if loss > self.limit else 0

    @property
    def exploding(self) -> bool:
        """Whether the last step's loss was such: its parameters are none to go on from."""
        return self.steps > 0

    @property
    def exploded(self) -> bool:
        """Whether there is no hope any more."""
        return self.steps >= STEPS
