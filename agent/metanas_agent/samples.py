"""Samples: timings of one call in the order they were made, and how well they tell the median.

The interval comes from order statistics (sign test), so it needs no assumption about how the noise
is distributed, and one interrupted sample does not move it. It does need samples that are
independent, and those of a disturbed machine are not: slow ones come together. So they count only
as many as they are worth (see `Samples.independent`).
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

_NORMAL_97_5 = 1.959964
FEWEST = 6
"""Of fewer samples there is no 95% interval of the median."""

_ROUNDING = 1e-4
"""So much below the wanted interval, one written with six digits is still below."""


class Samples:
    """Timings of one call.

    Args:
        wanted: half the interval of the median, as a share of it, that is good enough.
    """

    def __init__(self, wanted: float) -> None:
        self._wanted = wanted
        self._made: list[float] = []
        self._ordered: list[float] = []

    def __len__(self) -> int:
        return len(self._made)

    def add(self, sample: float) -> None:
        """Keep one more."""
        self._made.append(sample)
        insort(self._ordered, sample)

    def forget_first_half(self) -> None:
        """Let go of the older half."""
        self._made = self._made[-(len(self._made) // 2) :]
        self._ordered = sorted(self._made)

    def quantile(self, share: float) -> float:
        """Such as the median, of 0.5."""
        place = share * (len(self._ordered) - 1)
        below, above = self._ordered[math.floor(place)], self._ordered[math.ceil(place)]
        return below + (above - below) * (place - math.floor(place))

    def interval(self) -> tuple[float, float]:
        """The 95% confidence interval of the median."""
        return median_interval(self._ordered, independent=self.independent())

    def independent(self) -> int:
        """How many independent samples these are worth; at least `FEWEST`, where there are so many.

        Independent ones change sides of the median every other time. Where they change sides a
        share s of that, the correlation of neighbours is 1 - s, and n of them are worth
        n s / (2 - s).
        """
        middle = self.quantile(0.5)
        sides = [sample > middle for sample in self._made if sample != middle]
        if len(sides) < FEWEST:
            return len(self)
        switches = sum(one != other for one, other in pairwise(sides))
        share = min(switches / (len(sides) / 2), 1.0)
        return max(round(len(self) * share / (2 - share)), min(len(self), FEWEST))

    def drift(self) -> float:
        """How much slower than the older half the newer one is, as a share of the median."""
        half, middle = len(self._made) // 2, self.quantile(0.5)
        if not half or not middle:
            return 0.0
        return (median(self._made[-half:]) - median(self._made[:half])) / middle

    def doubt(self) -> str:
        """Why the median is not known well enough; empty where it is."""
        count, middle = len(self), self.quantile(0.5)
        if count < FEWEST:
            return f"{count} samples have no 95% interval of the median"
        if not middle:
            return f"the clock did not move in {count} samples"
        low, high = self.interval()
        half = (high - low) / 2 / middle
        if half > self._wanted * (1 - _ROUNDING):
            return f"interval of ±{half:.1%} after {count} samples"
        if self.drifts():
            return f"drift of {self.drift():+.1%} over {count} samples"
        return ""

    def drifts(self) -> bool:
        """Whether older and newer half lie further apart than the wanted interval is wide."""
        return len(self) >= FEWEST and abs(self.drift()) > 2 * self._wanted


def median_interval(
    ordered: Sequence[float], *, independent: int | None = None
) -> tuple[float, float]:
    """The 95% confidence interval of the median of sorted samples.

    Of fewer than 6 samples it does not exist, and their whole range is given.

    Args:
        ordered: the samples.
        independent: how many independent ones they are worth, from 1 to their number.
    """
    worth = independent or len(ordered)
    rank = max(len(ordered) * _interval_rank(worth) // worth, 1)
    return ordered[rank - 1], ordered[-rank]


def _interval_rank(count: int) -> int:
    """Largest r for which the r-th smallest and r-th largest enclose the median at 95%; or 0.

    The number of samples below the median is binomial(count, 1/2). Its normal approximation gives
    the exact rank, or for some counts (17, 44, 67 ...) one less, which errs on the safe side.
    """
    return math.floor((count + 1 - _NORMAL_97_5 * math.sqrt(count)) / 2)
