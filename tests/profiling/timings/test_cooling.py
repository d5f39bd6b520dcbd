import dataclasses

import pytest

from metanas.profiling import profile
from metanas.profiling.timings import cooling
from metanas_agent.measurement import Measurement
from metanas_agent.timer import TimerSettings

SETTINGS = TimerSettings()


@pytest.fixture(autouse=True)
def real_rests(monkeypatch):
    monkeypatch.setattr(cooling, "FIRST_REST_S", 5.0)
    monkeypatch.setattr(cooling, "ALL_RESTS_S", 300.0)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "toy.tsv"


def hot(row):
    return dataclasses.replace(row, verdict="throttled", reason="throttle bits 0x4")


def test_a_device_that_is_left_alone_cools_and_no_throttled_row_is_kept(
    weathered, device, space, out, clock
):
    """Each timing warms it, each second cools it."""
    heat = [0.0]

    def weather(_, row):
        heat[0] = max(heat[0] + 1 - (clock.now_s - weather.last_s), 0)
        weather.last_s = clock.now_s
        return hot(row) if heat[0] > 60 else row

    weather.last_s = 0.0
    board = weathered(device, weather=weather)
    notes = []
    table = profile(
        board, space, SETTINGS, out, rounds=1, on_progress=lambda p: notes.append(p.note)
    )
    assert {row.verdict for row in table.rows.values()} == {"trusted", "noisy"}
    reasons = {row.reason for row in table.rows.values() if row.verdict == "noisy"}
    assert reasons == {"the sentinel was throttled or off its median around it"}
    assert 0 < sum(clock.slept_s) <= cooling.ALL_RESTS_S
    assert "throttled; resting 5 s" in notes
    assert notes[-1] == ""
    assert table.header.sentinel.spread == 0


def test_rests_grow_and_end_where_the_device_never_cools(weathered, device, space, out, clock):
    board = weathered(device, weather=lambda _, row: hot(row))
    table = profile(board, space, SETTINGS, out, rounds=1)
    assert sum(clock.slept_s) == pytest.approx(cooling.ALL_RESTS_S)
    assert {row.verdict for row in table.rows.values()} == {"throttled"}
    assert table.missing(space.all_layers)


def test_a_rest_is_no_longer_than_the_budget(weathered, device, space, out, clock):
    board = weathered(device, weather=lambda _, row: hot(row))
    profile(board, space, SETTINGS, out, budget_s=7.5)
    assert clock.now_s == pytest.approx(7.5)


def test_a_rest_can_be_broken_off(weathered, device, space, out, clock):
    class Stopped(Exception):
        pass

    def on_progress(progress):
        if progress.note and clock.now_s > 1:
            raise Stopped

    board = weathered(device, weather=lambda _, row: hot(row))
    with pytest.raises(Stopped):
        profile(board, space, SETTINGS, out, on_progress=on_progress)
    assert clock.now_s < 2


def test_a_cool_timing_makes_the_next_rest_short_again(clock):
    row = any_row()
    rests = cooling.Cooling()
    lengths = []
    for verdict in ("throttled", "throttled", "throttled", "trusted", "throttled"):
        began_s = clock.now_s
        if rests.is_due(dataclasses.replace(row, verdict=verdict)):
            rests.rest(most_s=1000.0, tell=lambda _: None)
        lengths.append(clock.now_s - began_s)
    assert lengths == [5, 10, 20, 0, 5]


def any_row():
    times = dict.fromkeys(("median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms"), 1.0)
    names = dict.fromkeys(("key", "runtime", "runtime_version"), "x")
    return Measurement(**times, **names, samples=11, repeats=1, source="measured")
