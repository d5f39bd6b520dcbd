"""Whole networks of a space, timed on a device: what a table's sums are judged by.

hold the journal, which has the timings so far (a killed run goes on from here)
for each round, then while doubtful networks may be timed again, as in a sweep:
    time: sentinel, a window of networks in random order, sentinel
keep the best timing of each network
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from metanas.devices.device import Device
from metanas.profiling.fidelity.network_file import network_model
from metanas.profiling.sweep.plan import Plan
from metanas.profiling.table import rounded
from metanas.profiling.timings import (
    Cooling,
    Journal,
    Timing,
    best,
    candidates,
    choose_sentinel,
    exclusive,
    judged,
    making_of,
)
from metanas.spaces import Architecture, Genes, SearchSpace
from metanas_agent.layers import LayerSpec
from metanas_agent.measurement import Measurement
from metanas_agent.timer import TimerSettings

A = TypeVar("A", bound=Architecture)

WINDOW = 5
"""Networks between two timings of the sentinel."""


@dataclass(frozen=True, slots=True)
class NetworkTiming:
    """The latency of one whole network.

    Args:
        architecture: its text, which its space parses.
        latency: the best timing; its key is the architecture's text too.
        sentinel_ms: mean of the sentinel's times right before and after that timing.
    """

    architecture: str
    latency: Measurement
    sentinel_ms: float


def measure_networks(
    device: Device,
    space: SearchSpace[Any],
    genes: Genes,
    settings: TimerSettings,
    journal_path: Path,
    *,
    rounds: int = 2,
    seed: int = 0,
    sentinel: LayerSpec | None = None,
    fresh: bool = False,
    locked: bool = False,
    check: Callable[[Measurement], None] = lambda _: None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[NetworkTiming, ...]:
    """Time whole networks with random weights, each in rounds far apart in a random order.

    A timing made while a sentinel layer was off its median, a noisy or a throttled one, and those
    of one network that differ, are made again a few times, as many as in a sweep; the fastest of
    the most trusted is kept. A throttled device is left to cool before.

    The journal stays: run again with it, networks that it holds are not timed again, unless they
    were throttled. So a killed run goes on, and a set of networks can be extended. One in which no
    network was timed is removed.

    Args:
        device: that can run models.
        space: that holds the architectures.
        genes: (architectures, genes); equal rows are timed once.
        settings: of the timer.
        journal_path: where each timing is written as soon as it is known.
        rounds: how often each network is timed.
        seed: of the weights, the image and the order.
        sentinel: the layer that tells the device's pace; one of the space if not given.
        fresh: start over, whatever the journal holds; a killed fresh run goes on.
        locked: whether the caller holds the journal.
        check: called with every timing of a network before it is kept; what it raises ends the
            run.
        on_progress: called with the timings done and to do, at the start and for every timing.

    Returns:
        One timing a row of genes, in their order.

    Raises:
        TableBusyError: another run is at work on the journal.
        TableMismatchError: the journal is of networks timed in another way; it stays as it was.
        TableError: the journal is broken.
        UnsupportedError: the device cannot run models.
        MeasurementFailedError: a network could not be timed.
        DeviceError: the device went away.
    """
    architectures = [space.from_genes(row) for row in genes]
    sentinel = sentinel or choose_sentinel(space.all_layers)
    making = making_of(device.describe(), space.settings, settings)
    making |= {"weights": seed, "sentinel": sentinel.key}
    with nullcontext() if locked else exclusive(journal_path):
        run = _Run(
            device,
            space,
            {str(architecture): architecture for architecture in architectures},
            settings,
            journal=Journal(journal_path, making, fresh=fresh),
            sentinel=sentinel,
            rounds=rounds,
            seed=seed,
            check=check,
            on_progress=on_progress,
        )
        try:
            run.complete()
        finally:
            run.close()
        timings = run.best()
    return tuple(timings[str(architecture)] for architecture in architectures)


class _Run:
    """The timings there are, and which come next; all of it follows from the journal."""

    def __init__(
        self,
        device: Device,
        space: SearchSpace[A],
        architectures: Mapping[str, A],
        settings: TimerSettings,
        *,
        journal: Journal,
        sentinel: LayerSpec,
        rounds: int,
        seed: int,
        check: Callable[[Measurement], None],
        on_progress: Callable[[int, int], None],
    ) -> None:
        self.device = device
        self.space = space
        self.architectures = architectures
        self.settings = settings
        self.journal = journal
        self.rounds = rounds
        self.seed = seed
        self.check = check
        self.on_progress = on_progress
        self.sentinel = sentinel
        self.cooling = Cooling()
        rng = np.random.default_rng(seed)
        self.image = rng.uniform(-1, 1, (1, *space.input_shape)).astype(np.float32)
        texts = list(architectures)
        self.plan = Plan([[texts[at] for at in rng.permutation(len(texts))] for _ in range(rounds)])
        self.timings = [timing for timing in journal.timings if not _is_throttled(timing)]
        self.timed = Counter(t.row.key for t in self.timings if t.purpose == "row")

    def complete(self) -> None:
        """Time what is missing, then what is doubtful."""
        self.on_progress(self.done, self.done + self.missing)
        while texts := self.plan.next_keys(self.found(), {}):
            self.time(texts)

    def time(self, texts: Sequence[str]) -> None:
        """Time networks once each, every timing journaled at once."""
        for start in range(0, len(texts), WINDOW):
            if not start:
                self.time_sentinel()
            for number, text in enumerate(texts[start : start + WINDOW], start):
                model = network_model(self.space, self.architectures[text], seed=self.seed)
                latency = self.device.run_model(model, self.image, self.settings).latency
                self.check(latency)
                self.keep(Timing("row", rounded(replace(latency, key=text))))
                self.timed[text] += 1
                left = max(self.missing, len(texts) - number - 1)
                self.on_progress(self.done, self.done + left)
                if self.cooling.is_due(latency):
                    self.cooling.rest(most_s=inf, tell=lambda _: None)
            self.time_sentinel()

    def time_sentinel(self) -> None:
        """Look how fast the device is now."""
        for row in self.device.measure([self.sentinel], self.settings):
            self.keep(Timing("sentinel", rounded(row)))

    def keep(self, timing: Timing) -> None:
        """Write it through to the disk."""
        self.journal.add(timing)
        self.timings.append(timing)

    def close(self) -> None:
        """Leave no journal behind that holds no network."""
        purposes = {timing.purpose for timing in self.journal.timings}
        if purposes == {"sentinel"}:
            self.journal.remove()

    @property
    def done(self) -> int:
        """Timings of the networks that are asked for."""
        return sum(self.timed[text] for text in self.architectures)

    @property
    def missing(self) -> int:
        """Timings that the rounds lack."""
        return sum(max(self.rounds - self.timed[text], 0) for text in self.architectures)

    def found(self) -> dict[str, list[Any]]:
        """Every timing of each network that is asked for."""
        everything = candidates(self.timings)
        return {text: everything[text] for text in self.architectures if text in everything}

    def best(self) -> dict[str, NetworkTiming]:
        """The timing to keep of each network."""
        around = _sentinel_around(self.timings)
        return {
            text: NetworkTiming(text, judged(choices), around[id(best(choices))])
            for text, choices in self.found().items()
        }


def _is_throttled(timing: Timing) -> bool:
    """Of an earlier run, such a timing is no try: the device may be cool by now."""
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
