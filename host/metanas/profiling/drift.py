"""Which timings to believe, and which to make again.

Whatever disturbs a device makes it slower, in two ways that a timing's own interval cannot show:

- a short spell (another process, an interrupt storm; tenths of a second) slows a few rows in a
  row. So each row is timed in more than one round, far apart, and the fastest timing is kept.
- a long one (heat, a lower clock) slows all of them. So one layer, the *sentinel*, is timed before
  and after every window of rows; where it differs from its own median over the sweep, the window
  is *drifted*, and its timings give way to others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from metanas.profiling.journal import Timing
from metanas.profiling.table import Sentinel
from metanas_agent.layers import ConvLayer, LayerSpec
from metanas_agent.measurement import Measurement

TOLERANCE = 0.05
"""A sentinel further than this share from its median, or two timings of a row, disagree."""


class Candidate(NamedTuple):
    """One timing of a row, and whether it was made while the device drifted."""

    row: Measurement
    drifted: bool

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """The lower, the better: not throttled, not drifted, then the faster."""
        return (self.row.verdict == "throttled", self.drifted, self.row.median_ms)


def choose_sentinel(layers: Iterable[LayerSpec]) -> LayerSpec:
    """The layer of median work among the convolutions (among all, where there is none)."""
    pool = list(layers)
    pool = [layer for layer in pool if isinstance(layer, ConvLayer)] or pool
    return sorted(pool, key=lambda layer: (layer.macs, layer.key))[len(pool) // 2]


def candidates(timings: Sequence[Timing]) -> dict[str, list[Candidate]]:
    """Every timing of each row, by key."""
    off = _off(timings)
    found: dict[str, list[Candidate]] = {}
    seen = 0
    for timing in timings:
        if timing.purpose == "sentinel":
            seen += 1
        else:
            around = off[max(seen - 1, 0) : seen + 1]
            found.setdefault(timing.row.key, []).append(Candidate(timing.row, any(around)))
    return found


def best(choices: Sequence[Candidate]) -> Measurement:
    """The timing to keep."""
    return min(choices, key=lambda choice: choice.rank).row


def doubtful(found: dict[str, list[Candidate]], *, rounds: int) -> list[str]:
    """Keys that need a timing beyond the usual rounds, the worst first."""
    doubts = {key: _doubt(choices) for key, choices in found.items() if len(choices) == rounds}
    worst_first = sorted(doubts, key=lambda key: doubts[key], reverse=True)
    return [key for key in worst_first if doubts[key] > (False, False, TOLERANCE)]


def _doubt(choices: Sequence[Candidate]) -> tuple[bool, bool, float]:
    """Whether the best is throttled, drifted, and how far it may be off."""
    best, *others = sorted(choices, key=lambda choice: choice.rank)
    fastest = best.row.median_ms
    apart = others[0].row.median_ms / fastest - 1 if others and fastest else 0.0
    throttled, drifted, _ = best.rank
    return (throttled, drifted, max(abs(apart), best.row.relative_interval))


def summarise(timings: Sequence[Timing]) -> Sentinel | None:
    """How the sentinel fared, None where it was never timed."""
    times = _sentinel_ms(timings)
    if not len(times):
        return None
    key = next(timing.row.key for timing in timings if timing.purpose == "sentinel")
    p10, median, p90 = (float(f"{value:.6g}") for value in np.percentile(times, (10, 50, 90)))
    return Sentinel(key, len(times), median, p10, p90)


def _off(timings: Sequence[Timing]) -> list[bool]:
    times = _sentinel_ms(timings)
    middle = np.median(times) if len(times) else 0.0
    return [bool(abs(time - middle) > TOLERANCE * middle) for time in times]


def _sentinel_ms(timings: Sequence[Timing]) -> list[float]:
    return [timing.row.median_ms for timing in timings if timing.purpose == "sentinel"]
