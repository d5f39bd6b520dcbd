"""What can be timed of a space, by the agent's own runtime and timer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covering import Networks, layer_keys, names_of
from interleaved import Task, Times
from metanas.profiling import CALL, network_model
from metanas.profiling.timings import choose_sentinel
from metanas.spaces import SearchSpace
from metanas_agent.layers import parse_layer
from metanas_agent.runtimes import load_runtime
from metanas_agent.runtimes.onnx_graph import layer_model
from metanas_agent.sampler import Sampler
from metanas_agent.timer import TimerSettings, time_call
from metanas_agent.wire import Tensor
from node_times import node_times

SENTINEL = TimerSettings(budget_ms=2.0, min_samples=7)
NETWORK_BUDGETS = 2
"""A whole network may be timed so many times as long as a layer."""


CLOCKS = {"wall": time.perf_counter_ns, "processor": time.process_time_ns}
"""The second leaves out what other programs do meanwhile on this core."""


class Clock:
    """What can be timed of a space, by the agent's own runtime and timer.

    Args:
        space: of the layers and networks.
        settings: of the timer.
        clock: one of `CLOCKS`.
    """

    def __init__(
        self, space: SearchSpace[Any], settings: TimerSettings, clock: str = "wall"
    ) -> None:
        self.space = space
        self.clock_ns = CLOCKS[clock]
        self.settings = settings
        self.network_settings = TimerSettings(budget_ms=NETWORK_BUDGETS * settings.budget_ms)
        self.runtime = load_runtime("onnx")
        self.rng = np.random.default_rng(settings.seed)

    def tasks(self, networks: Networks) -> dict[str, Task]:
        """Everything that the schemes need, by name."""
        tasks = {f"inside {CALL.key}": self._task(self._inside, CALL.key)}
        for key in layer_keys(self.space, networks.tested, networks.line):
            tasks[f"inside {key}"] = self._task(self._inside, key)
        for key in layer_keys(self.space, networks.tested, networks.line, networks.covering):
            tasks[f"alone {key}"] = self._task(self._alone, key)
        for name in names_of(self.space, networks.tested, networks.line, networks.covering):
            tasks[f"network {name}"] = self._task(self._network, name)
        for name in names_of(self.space, networks.covering):
            tasks[f"nodes {name}"] = self._task(self._nodes, name)
        return tasks

    def sentinel(self) -> Callable[[], float]:
        sampler = self.runtime.prepare(choose_sentinel(self.space.all_layers), seed=0)
        return lambda: self._time(sampler, SENTINEL)

    @staticmethod
    def _task(timed: Callable[[str], Times], name: str) -> Task:
        return lambda: timed(name)

    def _inside(self, key: str) -> Times:
        sampler = self.runtime.prepare(parse_layer(key), seed=self.settings.seed)
        return self._median(sampler, self.settings)

    def _alone(self, key: str) -> Times:
        layer = parse_layer(key)
        model = layer_model(layer, self.rng).SerializeToString()
        sampler = self.runtime.load(model).prepare(as_tensor(self._image(layer.input_shape)))
        return self._median(sampler, self.settings)

    def _network(self, name: str) -> Times:
        model = network_model(self.space, self.space.parse(name), seed=self.settings.seed)
        image = self._image(self.space.input_shape)
        sampler = self.runtime.load(model).prepare(as_tensor(image))
        return self._median(sampler, self.network_settings)

    def _nodes(self, name: str) -> Times:
        architecture = self.space.parse(name)
        return node_times(
            network_model(self.space, architecture, seed=self.settings.seed),
            self.space.layers(architecture),
            self._image(self.space.input_shape),
            budget_ms=self.network_settings.budget_ms,
        )

    def _median(self, sampler: Sampler, settings: TimerSettings) -> Times:
        return np.array([self._time(sampler, settings)])

    def _time(self, sampler: Sampler, settings: TimerSettings) -> float:
        def sample(repeats: int) -> float:
            begin = self.clock_ns()
            sampler(repeats)
            return (self.clock_ns() - begin) / 1e6

        return time_call(sample, settings, clock_ns=self.clock_ns).median_ms

    def _image(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return self.rng.uniform(-1, 1, (1, *shape)).astype(np.float32)


def as_tensor(image: NDArray[np.float32]) -> Tensor:
    return Tensor(data=image.tobytes(), shape=image.shape)
