"""A run over whole networks: window after window of them, with the sentinel between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import inf
from typing import TypeVar

import numpy as np

from metanas.devices.device import Device, DeviceDescription
from metanas.errors import MeasurementFailedError
from metanas.profiling.fidelity.network_file import network_model
from metanas.profiling.fidelity.network_timings import NetworkTimings
from metanas.profiling.sweep.plan import TRIES, Plan
from metanas.profiling.table import rounded
from metanas.profiling.timings import Cooling, Timing, check_named_runtime
from metanas.spaces import Architecture, SearchSpace
from metanas_agent.layers import LayerSpec
from metanas_agent.measurement import Measurement
from metanas_agent.timer import TimerSettings

A = TypeVar("A", bound=Architecture)

WINDOW = 5
"""Networks between two timings of the sentinel."""


class NetworkRun:
    """Times what is missing, then what is doubtful.

    Args:
        device: that can run models.
        space: of the architectures.
        architectures: by their text.
        settings: of the timer.
        description: what the device said of itself when the journal was opened.
        timings: takes every timing.
        sentinel: the layer that tells the device's pace.
        rounds: how often each network is timed.
        seed: of the weights, the image and the order.
        check: called with every timing of a network before it is kept.
        on_progress: called with the timings done and to do, at the start and for every timing.
    """

    def __init__(
        self,
        device: Device,
        space: SearchSpace[A],
        architectures: Mapping[str, A],
        settings: TimerSettings,
        *,
        description: DeviceDescription,
        timings: NetworkTimings,
        sentinel: LayerSpec,
        rounds: int,
        seed: int,
        check: Callable[[Measurement], None],
        on_progress: Callable[[int, int], None],
    ) -> None:
        self._device = device
        self._space = space
        self._architectures = architectures
        self._settings = settings
        self._description = description
        self._timings = timings
        self._sentinel = sentinel
        self._seed = seed
        self._check = check
        self._on_progress = on_progress
        self._cooling = Cooling()
        self._failures: Counter[str] = Counter()
        rng = np.random.default_rng(seed)
        self._image = rng.uniform(-1, 1, (1, *space.input_shape)).astype(np.float32)
        texts = list(architectures)
        self._plan = Plan(
            [[texts[at] for at in rng.permutation(len(texts))] for _ in range(rounds)]
        )

    def time_all(self) -> None:
        """Until nothing is missing or doubtful.

        Raises:
            DeviceError: the device went away, or answers with a runtime that it had not named.
            MeasurementFailedError: a network or the sentinel failed again and again.
        """
        self._tell()
        if self._timings.lack_sentinel:
            self._time_sentinel()
        while texts := self._plan.next_keys(self._timings.found(), {}):
            self._time(texts)

    def _time(self, texts: Sequence[str]) -> None:
        """Time networks once each, with the sentinel before, between and behind them."""
        for number, text in enumerate(texts):
            if number % WINDOW == 0:
                self._time_sentinel()
            with self._forgiving(text):
                self._time_network(text, at_least=len(texts) - number - 1)
        self._time_sentinel()

    def _time_network(self, text: str, *, at_least: int) -> None:
        model = network_model(self._space, self._architectures[text], seed=self._seed)
        latency = self._device.run_model(model, self._image, self._settings).latency
        self._check(latency)
        self._keep(Timing("row", rounded(replace(latency, key=text))))
        self._tell(at_least)
        if self._cooling.is_due(latency):
            self._cooling.rest(most_s=inf, tell=lambda _: None)

    def _time_sentinel(self) -> None:
        """Look how fast the device is now."""
        timed = False
        while not timed:
            with self._forgiving(self._sentinel.key):
                for row in self._device.measure([self._sentinel], self._settings):
                    self._keep(Timing("sentinel", rounded(row)))
                timed = True

    def _keep(self, timing: Timing) -> None:
        check_named_runtime(timing.row, self._description)
        self._timings.add(timing)

    @contextmanager
    def _forgiving(self, key: str) -> Iterator[None]:
        """Let a failure pass: what stays missing is tried again, but not for ever."""
        try:
            yield
        except MeasurementFailedError:
            self._failures[key] += 1
            if self._failures[key] >= TRIES:
                raise
        else:
            del self._failures[key]

    def _tell(self, at_least: int = 0) -> None:
        done = self._timings.done
        self._on_progress(done, done + max(self._timings.missing, at_least))
