"""Timings of whole networks: how many there are, and which to keep, as a journal has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from metanas.profiling.timings import Candidate, Journal, Timing, candidates, judged
from metanas_agent.measurement import Measurement


@dataclass(frozen=True, slots=True)
class NetworkTiming:
    """The latency of one whole network.

    Args:
        architecture: its text, which its space parses.
        latency: the timing that stands for it; its key is the architecture's text too.
        sentinel_ms: mean of the sentinel's times right before and after that timing.
    """

    architecture: str
    latency: Measurement
    sentinel_ms: float

    @property
    def is_usable(self) -> bool:
        """Whether the device was not throttled."""
        return self.latency.verdict != "throttled"


class NetworkTimings:
    """The timings of some networks, those of an earlier, killed run included.

    Args:
        journal: takes each timing as soon as it is known. What was throttled in it is no try: the
            device may be cool by now.
        texts: of the architectures that are asked for; the journal may hold more.
        rounds: how often each shall be timed.
    """

    def __init__(self, journal: Journal, texts: Collection[str], rounds: int) -> None:
        self._journal = journal
        self._texts = texts
        self._rounds = rounds
        self._timings = [timing for timing in journal.timings if not _is_throttled(timing)]
        self._count = Counter(t.row.key for t in self._timings if t.purpose == "row")

    def add(self, timing: Timing) -> None:
        """Write it through to the disk."""
        self._journal.add(timing)
        self._timings.append(timing)
        if timing.purpose == "row":
            self._count[timing.row.key] += 1

    @property
    def done(self) -> int:
        """How many there are of the networks that are asked for."""
        return sum(self._count[text] for text in self._texts)

    @property
    def missing(self) -> int:
        """How many the rounds lack."""
        return sum(max(self._rounds - self._count[text], 0) for text in self._texts)

    @property
    def lack_sentinel(self) -> bool:
        """Whether no sentinel was timed behind the last network, since a kill came between."""
        return bool(self._timings) and self._timings[-1].purpose == "row"

    def found(self) -> dict[str, list[Candidate]]:
        """Every timing of each network that is asked for."""
        everything = candidates(self._timings)
        return {text: everything[text] for text in self._texts if text in everything}

    def typical(self) -> dict[str, NetworkTiming]:
        """Of each network the middle one, at equal pace, of its most trusted timings.

        Not the fastest, as of a row: a network is promised to take what it usually takes.
        """
        around = _sentinel_around(self._timings)

        def at_equal_pace(choice: Candidate) -> float:
            return choice.row.median_ms / around[id(choice.row)]

        def typical(text: str, choices: Sequence[Candidate]) -> NetworkTiming:
            level = min(choice.level for choice in choices)
            trusted = [choice for choice in choices if choice.level == level]
            middle = sorted(trusted, key=at_equal_pace)[(len(trusted) - 1) // 2]
            return NetworkTiming(text, judged(choices, middle), around[id(middle.row)])

        return {text: typical(text, choices) for text, choices in self.found().items()}


def _is_throttled(timing: Timing) -> bool:
    return timing.purpose == "row" and timing.row.verdict == "throttled"


def _sentinel_around(timings: Sequence[Timing]) -> dict[int, float]:
    """Mean time of the sentinels before and after each row, by the row's identity."""
    times = [timing.row.median_ms for timing in timings if timing.purpose == "sentinel"]
    around, seen = {}, 0
    for timing in timings:
        if timing.purpose == "sentinel":
            seen += 1
        else:
            around[id(timing.row)] = float(np.mean(times[max(seen - 1, 0) : seen + 1]))
    return around
