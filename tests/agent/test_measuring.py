from dataclasses import replace
from functools import partial

import pytest

from metanas_agent.measurement import SystemState
from metanas_agent.measuring import Gauge
from metanas_agent.sampler import clocked
from metanas_agent.timer import TimerSettings

SETTINGS = TimerSettings(budget_ms=60_000.0, min_samples=6, interval=0.99, sample_ms=0.001, core=3)


class Runtime:
    name = "test"
    version = "1.2"


class System:
    """Says one state after the other; a measurement reads two."""

    def __init__(self, *throttled):
        self._left = list(throttled)
        self.cores = []

    def state(self, core=None):
        self.cores.append(core)
        bits = self._left.pop(0)
        return SystemState(
            clock_mhz=1000.0 + len(self._left), temperature_c=50.0 + len(self._left), throttled=bits
        )


class Watch:
    """Complains as it is told to; a measurement asks twice."""

    def __init__(self, *complaints):
        self._left = list(complaints)

    def complaint(self):
        return self._left.pop(0) if self._left else ""


def measure(system, watch=None, **options):
    gauge = Gauge(options.pop("settings", SETTINGS), Runtime(), system, watch or Watch(), **options)
    return gauge.measure(clocked(lambda: None), key="empty/1x1x1")


def test_a_row_carries_its_evidence():
    system = System(0, 0x50000)
    row = measure(system)
    assert (row.runtime, row.runtime_version, row.source) == ("test", "1.2", "measured")
    assert (row.clock_mhz_before, row.clock_mhz_after) == (1001.0, 1000.0)
    assert (row.temperature_c_before, row.temperature_c_after) == (51.0, 50.0)
    assert row.throttled_after == 0x50000  # it was throttled once since boot, which is not now
    assert row.verdict == "trusted"
    assert system.cores == [3, 3]


@pytest.mark.parametrize("bits", [(0x4, 0), (0, 0x1), (0x50008, 0x50008)])
def test_a_throttled_row_is_measured_again(bits):
    row = measure(System(*bits, 0, 0))
    assert row.verdict == "trusted"
    assert row.throttled_after == 0


def test_a_row_throttled_twice_says_so():
    system = System(0, 0x2, 0x2, 0x2)
    row = measure(system, Watch("slow"))
    assert row.verdict == "throttled"
    assert row.reason == "throttle bits 0x2"
    assert len(system.cores) == 4


def test_a_system_that_does_not_tell_is_not_throttled():
    row = measure(System(None, None))
    assert row.throttled_after is None
    assert row.verdict == "trusted"


@pytest.mark.parametrize("complaints", [("slow", ""), ("", "slow")])
def test_a_row_of_a_disturbed_machine_is_measured_again(complaints):
    system = System(*[None] * 4)
    assert measure(system, Watch(*complaints)).verdict == "trusted"
    assert len(system.cores) == 4


def test_a_row_of_a_machine_that_stays_disturbed_is_noisy():
    row = measure(System(*[None] * 4), Watch("", "slow", "", "slower"))
    assert row.verdict == "noisy"
    assert row.reason == "slower"


def test_a_row_says_what_it_is():
    assert measure(System(None, None), source="emulated").source == "emulated"


class Limit(System):
    """A core whose highest clock allowed is read as it is told."""

    def __init__(self, *limits_mhz):
        super().__init__(*[0] * len(limits_mhz))
        self._limits_mhz = list(limits_mhz)

    def state(self, core=None):
        limit_mhz = self._limits_mhz.pop(0)
        return replace(super().state(core), clock_limit_mhz=limit_mhz, governor="ondemand")


def test_a_row_over_which_the_clock_was_lowered_is_throttled():
    row = measure(Limit(1500.0, 1000.0, 1000.0, 600.0))
    assert row.verdict == "throttled"
    assert row.reason == "the highest clock allowed fell from 1000 to 600 MHz"
    assert row.governor == "ondemand"
    assert measure(Limit(1500.0, 1000.0, 1000.0, 1000.0)).verdict == "trusted"


class Counter:
    """One millijoule more at each look."""

    update_ms = 1e-6

    def __init__(self):
        self.count_mj = 0.0

    def read_mj(self):
        self.count_mj += 1.0
        return self.count_mj


def test_a_row_tells_the_energy_of_a_call_where_it_is_counted():
    row = measure(System(0, 0), energy=Counter())
    assert row.energy_mj == pytest.approx(1 / row.repeats)
    assert measure(System(0, 0)).energy_mj is None


def test_energy_of_a_throttled_machine_or_of_filling_caches_is_nobodys():
    assert measure(System(2, 2, 2, 2), energy=Counter()).energy_mj is None
    row = measure(System(0, 0), energy=Counter(), fill_caches=lambda: None)
    assert row.energy_mj is None


def test_a_row_of_cold_caches_says_so():
    filled = []
    settings = replace(SETTINGS, cache="cold")
    fill = partial(filled.append, None)
    row = measure(System(0, 0), settings=settings, fill_caches=fill)
    assert row.runtime_version == "1.2 cold cache"
    assert row.repeats == 1
    assert len(filled) > row.samples
