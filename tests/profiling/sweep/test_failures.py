"""Layers that cannot be timed are named, and stop nothing."""

from collections import Counter

import pytest

from metanas.devices import AgentDevice, ReconnectingDevice
from metanas.errors import MeasurementFailedError, MissingRowsError
from metanas.profiling import CALL, profile, read_table
from metanas.profiling.timings import choose_sentinel
from metanas_agent.layers import ConvLayer, EmptyLayer
from metanas_agent.timer import TimerSettings
from support.agent_process import AgentProcess

SETTINGS = TimerSettings()
WHY = "RuntimeError: no such kernel"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "toy.tsv"


def failing(keys, times=1_000_000):
    """Fails those layers, each so many times."""
    failed = Counter()

    def fail(layer):
        if layer.key in keys and failed[layer.key] < times:
            failed[layer.key] += 1
            raise MeasurementFailedError(f"{layer.key}: {WHY}")

    fail.counts = failed
    return fail


def sentinel_of(space):
    return choose_sentinel([CALL, *space.all_layers]).key


def some(space, count):
    return {layer.key for layer in space.all_layers[:: len(space.all_layers) // count]} - {
        sentinel_of(space)
    }


def test_the_rest_is_measured_and_what_failed_is_named(weathered, device, space, out):
    bad = some(space, 12)
    fails = failing(bad)
    table = profile(weathered(device, fails=fails), space, SETTINGS, out)
    assert table.header.left_out == dict.fromkeys(
        (layer.key for layer in space.all_layers if layer.key in bad), WHY
    )
    assert len(table.rows) + len(bad) == len(space.all_layers) + 1
    assert set(fails.counts.values()) == {2}
    assert read_table(out) == table
    with pytest.raises(MissingRowsError, match=f"lacks {len(bad)} rows"):
        table.costs_ms(space)


def test_a_failure_by_accident_costs_no_row(weathered, device, space, out):
    bad = {layer.key for layer in space.all_layers}  # the sentinel is among them
    table = profile(weathered(device, fails=failing(bad, times=1)), space, SETTINGS, out)
    assert table.header.left_out == {}
    assert len(table.rows) == len(space.all_layers) + 1


def test_run_again_it_tries_only_what_failed(weathered, device, space, out):
    bad = some(space, 5)
    first = profile(weathered(device, fails=failing(bad)), space, SETTINGS, out)
    still = weathered(device, fails=failing(bad))
    second = profile(still, space, SETTINGS, out)
    assert set(still.asked) == {sentinel_of(space)}
    assert second.header.left_out == first.header.left_out
    assert second.rows == first.rows
    mended = weathered(device)
    third = profile(mended, space, SETTINGS, out)
    assert set(mended.asked) == {*bad, sentinel_of(space)}
    assert third.header.left_out == {}
    assert third.missing(space.all_layers) == []


def test_a_row_that_fails_in_a_later_round_keeps_its_timing(weathered, device, space, out):
    (bad,) = some(space, 1)
    seen = Counter()

    def fails(layer):
        seen[layer.key] += 1
        if layer.key == bad and seen[layer.key] > 1:
            raise MeasurementFailedError(f"{layer.key}: {WHY}")

    table = profile(weathered(device, fails=fails), space, SETTINGS, out, rounds=2)
    assert bad in table.rows
    assert table.header.left_out == {}


def test_another_sentinel_takes_the_place_of_one_that_fails_from_the_start(
    weathered, device, space, out
):
    bad = sentinel_of(space)
    table = profile(weathered(device, fails=failing({bad})), space, SETTINGS, out)
    assert table.header.sentinel.key != bad
    assert table.header.left_out == {bad: WHY}


def test_a_device_that_can_time_nothing_is_said_so(weathered, device, space, out):
    fails = failing({CALL.key, *(layer.key for layer in space.all_layers)})
    with pytest.raises(MeasurementFailedError, match=WHY):
        profile(weathered(device, fails=fails), space, SETTINGS, out)
    assert fails.counts.total() < 10
    assert list(out.parent.iterdir()) == []


def test_a_sentinel_that_fails_for_good_ends_the_sweep_but_keeps_its_rows(
    weathered, device, space, out
):
    seen = Counter()

    def fails(layer):
        seen[layer.key] += 1
        if layer.key == sentinel_of(space) and seen[layer.key] > 4:
            raise MeasurementFailedError(f"{layer.key}: {WHY}")

    with pytest.raises(MeasurementFailedError, match=WHY):
        profile(weathered(device, fails=fails), space, SETTINGS, out)
    board = weathered(device)
    seen_again = []
    table = profile(board, space, SETTINGS, out, on_progress=seen_again.append)
    assert seen_again[0].done > 0
    assert table.header.left_out == {}


class Layers:
    """A search space, as far as a sweep looks at it; one layer fits no machine's memory."""

    def __init__(self):
        self.settings = {"name": "layers"}
        small = [EmptyLayer(1, 1, width) for width in range(2, 12)]
        self.giant = ConvLayer(60_000, 60_000, 60_000, out_channels=1, kernel=1)
        self.all_layers = (*small, self.giant)


def test_a_real_agent_refuses_a_layer_and_times_the_others(out):
    layers = Layers()
    timer = TimerSettings(budget_ms=5.0, min_samples=6, interval=0.5, sample_ms=0.05)
    with AgentProcess("--runtime", "onnx") as agent:

        def connect(session):
            return AgentDevice("board", agent.endpoint, session=session)

        with ReconnectingDevice(connect) as device:
            table = profile(device, layers, timer, out, rounds=1)
    assert list(table.header.left_out) == [layers.giant.key]
    assert "bytes of memory" in table.header.left_out[layers.giant.key]
    assert len(table.rows) == len(layers.all_layers)
    assert table.header.sentinel.timings > 0
    assert read_table(out) == table
