"""Whole networks of a space, timed on a device: what a table's sums are judged by.

hold the journal, which has the timings so far (a killed run goes on from here)
for each round, then while doubtful networks may be timed again:
    time: sentinel, a window of networks in random order, sentinel
keep the best timing of each network
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from metanas.devices.device import Device
from metanas.profiling.fidelity.network_file import network_model
from metanas.profiling.table import rounded
from metanas.profiling.timings import (
    Cooling,
    Journal,
    Timing,
    best,
    candidates,
    choose_sentinel,
    doubtful,
    exclusive,
    making_of,
)
from metanas.spaces import Architecture, Genes, SearchSpace
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
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[NetworkTiming, ...]:
    """Time whole networks with random weights, each in rounds far apart in a random order.

    A timing made while a sentinel layer was off its median, a noisy or a throttled one, and those
    of one network that differ, are made again a few times; the fastest of the most trusted is kept.
    A throttled device is left to cool before.

    The journal stays: run again with it, networks that it holds are not timed again. So a killed
    run goes on, and a set of networks can be extended.

    Args:
        device: that can run models.
        space: that holds the architectures.
        genes: (architectures, genes); equal rows are timed once.
        settings: of the timer.
        journal_path: where each timing is written as soon as it is known.
        rounds: how often each network is timed.
        seed: of the weights, the image and the order.
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
    making = making_of(device.describe(), space.settings, settings) | {"weights": seed}
    with exclusive(journal_path):
        run = _Run(
            device,
            space,
            {str(architecture): architecture for architecture in architectures},
            settings,
            journal=Journal(journal_path, making),
            rounds=rounds,
            seed=seed,
            on_progress=on_progress,
        )
        run.complete()
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
        rounds: int,
        seed: int,
        on_progress: Callable[[int, int], None],
    ) -> None:
        self.device = device
        self.space = space
        self.architectures = architectures
        self.settings = settings
        self.journal = journal
        self.rounds = rounds
        self.seed = seed
        self.on_progress = on_progress
        self.sentinel = choose_sentinel(space.all_layers)
        self.cooling = Cooling()
        self.rng = np.random.default_rng(seed)
        self.image = self.rng.uniform(-1, 1, (1, *space.input_shape)).astype(np.float32)
        self.timed = Counter(t.row.key for t in journal.timings if t.purpose == "row")

    def complete(self) -> None:
        """Time what is missing, then what is doubtful."""
        self.on_progress(self.done, self.done + self.missing)
        texts = list(self.architectures)
        for number in range(self.rounds):
            order = [texts[place] for place in self.rng.permutation(len(texts))]
            self.time([text for text in order if self.timed[text] <= number])
        while again := doubtful(self.found(), rounds=self.rounds):
            self.time(again)

    def time(self, texts: Sequence[str]) -> None:
        """Time networks once each, every timing journaled at once."""
        for start in range(0, len(texts), WINDOW):
            if not start:
                self.time_sentinel()
            for number, text in enumerate(texts[start : start + WINDOW], start):
                model = network_model(self.space, self.architectures[text], seed=self.seed)
                latency = self.device.run_model(model, self.image, self.settings).latency
                self.journal.add(Timing("row", rounded(replace(latency, key=text))))
                self.timed[text] += 1
                left = max(self.missing, len(texts) - number - 1)
                self.on_progress(self.done, self.done + left)
                if self.cooling.is_due(latency):
                    self.cooling.rest(most_s=inf, tell=lambda _: None)
            self.time_sentinel()

    def time_sentinel(self) -> None:
        """Look how fast the device is now."""
        for row in self.device.measure([self.sentinel], self.settings):
            self.journal.add(Timing("sentinel", rounded(row)))

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
        everything = candidates(self.journal.timings)
        return {text: everything[text] for text in self.architectures if text in everything}

    def best(self) -> dict[str, NetworkTiming]:
        """The timing to keep of each network."""
        rows = {text: best(choices) for text, choices in self.found().items()}
        around = _sentinel_around(self.journal.timings)
        return {text: NetworkTiming(text, row, around[id(row)]) for text, row in rows.items()}


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
