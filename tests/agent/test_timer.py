import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas_agent.errors import InvalidSettingsError
from metanas_agent.sampler import clocked
from metanas_agent.timer import TimerSettings, time_call

TIMES = ("median_ms", "low_ms", "high_ms")


class FakeMachine:
    """A call that takes as long as `duration_ms(number of the call)` says; nothing else does."""

    def __init__(self, duration_ms):
        self._duration_ms = duration_ms
        self.now_ms = 0.0
        self.calls = 0

    def call(self):
        self.now_ms += self._duration_ms(self.calls)
        self.calls += 1

    def clock_ns(self):
        return round(self.now_ms * 1e6)

    def time(self, **settings):
        sampler = clocked(self.call, clock_ns=self.clock_ns)
        return time_call(sampler, TimerSettings(**settings), clock_ns=self.clock_ns)


def test_a_steady_call_is_trusted_after_the_fewest_samples():
    timing = FakeMachine(lambda _: 2.0).time(min_samples=11, sample_ms=0.5)
    assert timing.verdict == "trusted"
    assert timing.reason == ""
    assert timing.samples == 11
    assert timing.repeats == 1
    assert timing.median_ms == timing.low_ms == timing.high_ms == pytest.approx(2.0)


def test_a_short_call_is_repeated_until_a_sample_is_long_enough():
    timing = FakeMachine(lambda _: 0.003).time(sample_ms=0.5)
    assert timing.repeats == 167
    assert timing.median_ms == pytest.approx(0.003, rel=1e-3)


def test_cold_calls_are_not_in_the_samples():
    timing = FakeMachine(lambda i: 10.0 if i < 3 else 1.0).time(budget_ms=400.0)
    assert timing.p90_ms == pytest.approx(1.0)
    assert timing.verdict == "trusted"


def test_warm_up_takes_no_more_than_a_quarter_of_the_budget():
    machine = FakeMachine(lambda i: 10.0 * 0.9**i)  # gets faster without end: 100 ms in all
    machine.time(budget_ms=200.0, min_samples=6, interval=0.99, sample_ms=0.01)
    assert 50.0 < machine.now_ms < 90.0


def test_noise_is_averaged_away_within_the_budget():
    """Stopping as soon as the interval is narrow enough does not make it lie more often."""
    noise = random.Random(3)
    timings = [
        FakeMachine(lambda _: 1.0 + noise.gauss(0, 0.02)).time(interval=0.01, budget_ms=500)
        for _ in range(200)
    ]
    assert {timing.verdict for timing in timings} == {"trusted"}
    covered = sum(timing.low_ms <= 1.0 <= timing.high_ms for timing in timings)
    assert covered / 200 == pytest.approx(0.95, abs=0.03)


def test_too_much_noise_for_the_budget_is_said():
    noise = random.Random(3)
    machine = FakeMachine(lambda _: noise.uniform(0.5, 1.5))
    timing = machine.time(interval=0.001, budget_ms=50.0)
    assert timing.verdict == "noisy"
    assert "interval" in timing.reason
    assert 50.0 <= machine.now_ms < 50.0 + 1.5
    assert timing.samples > 11


def test_drift_is_not_averaged_away():
    machine = FakeMachine(lambda i: 1.0 + 0.001 * i)
    timing = machine.time(interval=0.05, budget_ms=600.0, min_samples=400)
    assert timing.verdict == "noisy"
    assert "over 4" in timing.reason or "after 4" in timing.reason


def test_a_step_in_the_middle_is_no_noise():
    noise = random.Random(1)
    machine = FakeMachine(lambda i: (1.0 if i < 53 else 1.05) + noise.gauss(0, 0.0001))
    timing = machine.time(interval=0.02, budget_ms=100.0, min_samples=100)
    assert timing.verdict == "noisy"


def test_what_is_still_warming_up_is_let_go():
    """The first calls are slow for so long that the warm-up believes them."""
    noise = random.Random(1)
    machine = FakeMachine(lambda i: (1.3 if i < 9 else 1.0) + noise.gauss(0, 0.001))
    timing = machine.time(interval=0.01, budget_ms=500.0)
    assert timing.verdict == "trusted"
    assert timing.p90_ms < 1.01
    assert machine.now_ms < 100.0


def test_one_calm_sample_does_not_make_a_machine_warm():
    durations = [10.0, 9.9, 5.0, 4.9, 2.0, 1.0]
    timing = FakeMachine(lambda i: durations[i] if i < 6 else 1.0).time(budget_ms=400.0)
    assert timing.p90_ms == pytest.approx(1.0)


@given(
    st.lists(st.floats(0.5, 1.5), min_size=1, max_size=300),
    st.floats(0.001, 0.5),
    st.integers(1, 30),
)
def test_a_trusted_row_has_an_interval_under_the_target(durations, interval, min_samples):
    machine = FakeMachine(lambda i: durations[i % len(durations)])
    timing = machine.time(interval=interval, budget_ms=200.0, min_samples=min_samples)
    written = {name: float(f"{getattr(timing, name):.6g}") for name in TIMES}
    half_ms = (written["high_ms"] - written["low_ms"]) / 2
    if timing.verdict == "trusted":
        assert half_ms <= interval * written["median_ms"]
        assert timing.samples >= max(6, min_samples)
    else:
        assert timing.reason


def test_cold_calls_are_timed_one_by_one():
    assert FakeMachine(lambda _: 0.003).time(sample_ms=0.5, cache="cold").repeats == 1


def test_one_interruption_does_not_move_the_median():
    timing = FakeMachine(lambda i: 50.0 if i == 7 else 1.0).time()
    assert timing.verdict == "trusted"
    assert timing.median_ms == pytest.approx(1.0)


def test_the_fewest_samples_are_taken_even_over_budget():
    machine = FakeMachine(lambda _: 100.0)
    timing = machine.time(budget_ms=10.0, min_samples=7)
    assert timing.samples == 7


def test_too_few_samples_for_an_interval_are_never_trusted():
    timing = FakeMachine(lambda _: 1.0).time(budget_ms=1.0, min_samples=3)
    assert timing.verdict == "noisy"
    assert timing.reason == "3 samples have no 95% interval of the median"


def test_a_clock_that_does_not_move_is_never_trusted():
    timing = time_call(lambda repeats: 0.0, TimerSettings(budget_ms=1.0))
    assert timing.verdict == "noisy"
    assert timing.reason.startswith("the clock did not move")


@given(st.lists(st.floats(0.001, 10.0), min_size=1, max_size=50))
def test_quantiles_are_in_order(durations):
    machine = FakeMachine(lambda i: durations[i % len(durations)])
    timing = machine.time(budget_ms=20.0, min_samples=1)
    assert timing.low_ms <= timing.median_ms <= timing.high_ms
    assert timing.p10_ms <= timing.median_ms <= timing.p90_ms


@pytest.mark.parametrize(
    "bad",
    [
        {"interval": 0.0},
        {"interval": 1.0},
        {"interval": float("nan")},
        {"budget_ms": -1.0},
        {"budget_ms": float("inf")},
        {"budget_ms": "1"},
        {"min_samples": 0},
        {"min_samples": 2.5},
        {"sample_ms": 0},
        {"core": -2},
        {"core": True},
        {"seed": -1},
        {"batch": 0},
        {"batch": True},
        {"cache": "lukewarm"},
        {"cache": None},
        {"threads": 0},
        {"threads": 1.0},
        {"energy": 1},
    ],
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(InvalidSettingsError, match=next(iter(bad))):
        TimerSettings(**bad)


def test_settings_are_plain_values():
    settings = TimerSettings(batch=8, cache="cold", threads=2, energy=True)
    assert TimerSettings.from_dict(settings.to_dict()) == settings


def test_usual_settings_are_written_as_protocol_1_knows_them():
    values = TimerSettings().to_dict()
    assert list(values) == ["interval", "budget_ms", "min_samples", "sample_ms", "core", "seed"]
    assert TimerSettings.from_dict(values) == TimerSettings()


@pytest.mark.parametrize("values", [None, {}, {"interval": 0.1}, [1]])
def test_incomplete_settings_are_refused(values):
    with pytest.raises(InvalidSettingsError):
        TimerSettings.from_dict(values)
