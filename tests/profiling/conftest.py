import dataclasses

import pytest

from metanas.profiling import LatencyTable, profile
from metanas.spaces import VGG9Space
from metanas_agent.timer import TimerSettings
from metanas_simulators import make_simulator

SIMULATED = {"backend": "systolic", "rows": 4, "columns": 4, "clock_mhz": 100, "dataflow": "os"}


class WeatheredDevice:
    """A computed device in the place of a board in bad weather: what happens to it is given.

    Args:
        weather: called with the count of timings so far and the row; returns the row to answer.
        dies_after: rows until the connection is lost.
        fails: called with each layer before it is timed; may raise.
    """

    def __init__(
        self, device, *, weather=lambda _, row: row, dies_after=None, fails=lambda layer: None
    ):
        self.device = device
        self.weather = weather
        self.dies_after = dies_after
        self.fails = fails
        self.asked = []

    @property
    def name(self):
        return self.device.name

    def describe(self):
        return dataclasses.replace(self.device.describe(), source="measured")

    def measure(self, layers, settings):
        for layer, row in zip(layers, self.device.measure(layers, settings), strict=True):
            self.fails(layer)
            if self.dies_after is not None and len(self.asked) >= self.dies_after:
                raise ConnectionResetError
            self.asked.append(row.key)
            yield self.weather(len(self.asked), dataclasses.replace(row, source="measured"))

    def close(self):
        self.device.close()


def scaled(row, factor, **changes):
    times = ("median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms")
    return dataclasses.replace(row, **{t: getattr(row, t) * factor for t in times}, **changes)


@pytest.fixture(autouse=True)
def short_rests(monkeypatch):
    monkeypatch.setattr("metanas.profiling.timings.cooling.FIRST_REST_S", 0.001)
    monkeypatch.setattr("metanas.profiling.timings.cooling.ALL_RESTS_S", 0.004)


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch):
    """Nothing here pulls the plug, so nothing needs to wait for the disk."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is told otherwise, for budgets and rests."""
    clock = Clock()
    for module in ("sweep.sweep", "sweep.run", "timings.cooling"):
        monkeypatch.setattr(f"metanas.profiling.{module}.time", clock)
    return clock


class Clock:
    def __init__(self):
        self.now_s = 0.0
        self.slept_s = []

    def monotonic(self):
        return self.now_s

    def sleep(self, seconds):
        self.slept_s.append(seconds)
        self.now_s += seconds


@pytest.fixture
def weathered():
    return WeatheredDevice


@pytest.fixture
def scale():
    return scaled


@pytest.fixture
def device():
    return make_simulator("toy", SIMULATED)


@pytest.fixture(scope="session")
def space():
    """54 convolutions a position at most, so that a sweep takes a moment."""
    return VGG9Space(input_shape=(1, 12, 12), ways=5, global_expansion=False)


@pytest.fixture
def table(device, space, tmp_path):
    return profile(device, space, TimerSettings(), tmp_path / "toy.tsv", seed=3)


@pytest.fixture
def with_rows():
    """The same table with other rows."""

    def change(table, rows):
        return LatencyTable(table.header, {row.key: row for row in rows})

    return change
