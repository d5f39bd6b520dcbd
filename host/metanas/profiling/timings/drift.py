"""Which timings to believe, and which to make again.

Whatever disturbs a device (another process, interrupts, heat, a lower clock) makes it slower for a
tenth of a second or for minutes, and a timing's own interval does not show it: all its samples are
slow alike. Two things help:

- one layer, the *sentinel*, is timed again and again between the rows. Where it differs from its
  own median over the sweep, the timings next to it are *drifted* and give way to others.
- each row is timed in more than one round, far apart. Of two timings as good as each other the
  faster one is kept, since nothing makes a device faster than it is.

What stays drifted, or two timings that stay apart, cannot be trusted, and is said to be noisy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from metanas.profiling.table import Sentinel
from metanas.profiling.timings.journal import Timing
from metanas_agent.layers import ConvLayer, LayerSpec
from metanas_agent.measurement import Measurement

TOLERANCE = 0.05
"""A sentinel further than this share from its median, or two timings of a row, disagree."""

MOST_AGAIN = 2
"""At most so many timings of a row behind the rounds."""


class Candidate(NamedTuple):
    """One timing of a row, and whether it was made while the device drifted."""

    row: Measurement
    drifted: bool

    @property
    def level(self) -> int:
        """0 for a timing to believe, 1 for a noisy or drifted one, 2 for a throttled one."""
        if self.row.verdict == "throttled":
            return 2
        return int(self.drifted or self.row.verdict == "noisy")

    @property
    def rank(self) -> tuple[int, float]:
        """The lower, the better: by level, then the faster."""
        return (self.level, self.row.median_ms)


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
    """The timing to keep, as the device answered it."""
    return min(choices, key=lambda choice: choice.rank).row


def judged(choices: Sequence[Candidate], kept: Candidate | None = None) -> Measurement:
    """The timing to keep; noisy, with a reason, where only the other timings show that it is.

    Args:
        choices: all timings of a row.
        kept: the one of them to keep; the best if not given.
    """
    kept = kept or min(choices, key=lambda choice: choice.rank)
    doubt = ""
    if kept.drifted:
        doubt = "the sentinel was throttled or off its median around it"
    elif (apart := _apart(choices)) > TOLERANCE:
        doubt = f"two timings differ by {apart:.0%}"
    if doubt and kept.row.verdict == "trusted":
        return replace(kept.row, verdict="noisy", reason=doubt)
    return kept.row


def doubtful(found: Mapping[str, Sequence[Candidate]], *, rounds: int) -> list[str]:
    """Keys that need timings beyond the usual rounds, the worst first."""
    doubts = {
        key: _doubt(choices)
        for key, choices in found.items()
        if rounds <= len(choices) < rounds + MOST_AGAIN
    }
    worst_first = sorted(doubts, key=lambda key: doubts[key], reverse=True)
    return [key for key in worst_first if doubts[key] > (0, TOLERANCE)]


def _doubt(choices: Sequence[Candidate]) -> tuple[int, float]:
    """The best timing's level, and by which share of itself it may be off."""
    kept = min(choices, key=lambda choice: choice.rank)
    return (kept.level, max(_apart(choices), kept.row.relative_interval))


def _apart(choices: Sequence[Candidate]) -> float:
    """By which share of the fastest the next of the timings as good as it is slower."""
    level = min(choice.level for choice in choices)
    times = sorted(choice.row.median_ms for choice in choices if choice.level == level)
    return times[1] / times[0] - 1 if len(times) > 1 and times[0] else 0.0


def summarise(timings: Sequence[Timing]) -> Sentinel | None:
    """How the sentinel fared, None where it was never timed; throttled timings do not count."""
    rows = _sentinel_rows(timings)
    if not rows:
        return None
    times = _believable_ms(rows)
    p10, median, p90 = (float(f"{value:.6g}") for value in np.percentile(times, (10, 50, 90)))
    return Sentinel(rows[0].key, len(times), median, p10, p90)


def _off(timings: Sequence[Timing]) -> list[bool]:
    rows = _sentinel_rows(timings)
    middle = np.median(_believable_ms(rows)) if rows else 0.0
    return [
        row.verdict == "throttled" or bool(abs(row.median_ms - middle) > TOLERANCE * middle)
        for row in rows
    ]


def _believable_ms(rows: Sequence[Measurement]) -> list[float]:
    """Times of those that were not throttled, or of all where all were."""
    cool = [row.median_ms for row in rows if row.verdict != "throttled"]
    return cool or [row.median_ms for row in rows]


def _sentinel_rows(timings: Sequence[Timing]) -> list[Measurement]:
    return [timing.row for timing in timings if timing.purpose == "sentinel"]
