"""Which rows a sweep times, in which order, and what becomes of them."""

import dataclasses
from collections import Counter
from itertools import pairwise

import pytest

from metanas.errors import MeasurementFailedError
from metanas.profiling import CALL, LatencyTable, profile, read_table
from metanas.profiling.table import Calibration, write_table
from metanas_agent.layers import parse_layer
from metanas_agent.timer import TimerSettings
from support.small_batches import WINDOW

SETTINGS = TimerSettings()

pytestmark = pytest.mark.usefixtures("small_batches")


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_times_every_layer_and_the_call_in_each_round(
    weathered, device, space, out, journal, rounds
):
    board = weathered(device)
    table = profile(board, space, SETTINGS, out, rounds=rounds)
    assert list(table.rows) == [CALL.key, *(layer.key for layer in space.all_layers)]
    assert read_table(out) == table
    assert not journal.exists()
    sentinel = table.header.sentinel
    assert len(board.asked) == rounds * len(table.rows) + sentinel.timings
    counts = Counter(board.asked)
    assert counts.pop(sentinel.key) == rounds + sentinel.timings
    assert set(counts.values()) == {rounds}
    assert sentinel.spread == 0.0
    assert table.header.spaces == (space.settings,)
    assert table.header.made["seed"] == 0


def test_what_is_computed_needs_one_round(device, space, out):
    seen = []
    table = profile(device, space, SETTINGS, out, rounds=2, on_progress=seen.append)
    assert seen[-1].total == len(table.rows)
    assert table.shared("source") == "simulated"


def test_the_order_is_random_but_seeded(weathered, device, space, tmp_path):
    orders = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        board = weathered(device)
        profile(board, space, SETTINGS, tmp_path / name, seed=seed)
        orders.append(board.asked)
    assert orders[0] == orders[1] != orders[2]
    half = len(orders[0]) // 2
    assert orders[0][:half] != orders[0][half:]
    work = [parse_layer(key).macs for key in orders[0][:half]]
    assert 0.5 < sum(work[: half // 2]) / sum(work[half // 2 :]) < 2


def test_the_sentinel_stands_around_every_window(weathered, device, space, out):
    board = weathered(device)
    sentinel = profile(board, space, SETTINGS, out).header.sentinel.key
    places = [place for place, key in enumerate(board.asked) if key == sentinel]
    assert places[0] == 0
    assert places[-1] == len(board.asked) - 1
    assert max(b - a for a, b in pairwise(places)) <= WINDOW + 1


def test_progress_counts_up(weathered, device, space, out):
    seen = []
    profile(weathered(device), space, SETTINGS, out, on_progress=seen.append)
    total = 2 * (len(space.all_layers) + 1)
    assert [progress.done for progress in seen] == list(range(total + 1))
    assert {progress.total for progress in seen} == {total}
    assert seen[0].row is None


def test_a_calibration_is_kept_as_long_as_the_rows_are(weathered, device, space, out):
    bad = space.all_layers[7].key

    def fails(layer):
        if layer.key == bad:
            raise MeasurementFailedError(f"{bad}: no such kernel")

    first = profile(weathered(device, fails=fails), space, SETTINGS, out)
    calibration = Calibration(1.1, 0.01, networks=20, mean_error=0.02, worst_error=0.05)
    header = dataclasses.replace(first.header, calibration=calibration)
    write_table(LatencyTable(header, first.rows), out)
    again = profile(weathered(device, fails=fails), space, SETTINGS, out)
    assert again.rows == first.rows
    assert again.header.calibration == read_table(out).header.calibration == calibration
    whole = profile(weathered(device), space, SETTINGS, out)
    assert bad in whole.rows
    assert whole.header.calibration is None


def test_energy_is_kept_to_six_digits(weathered, device, space, out):
    def weather(_, row):
        return dataclasses.replace(row, energy_mj=1.23456789)

    table = profile(weathered(device, weather=weather), space, SETTINGS, out, rounds=1)
    assert {row.energy_mj for row in table.rows.values()} == {1.23457}
    assert read_table(out) == table


def test_a_batch_is_taken_to_its_end_before_the_next_is_asked_for(weathered, device, space, out):
    """A device does one job at a time."""
    asked = weathered(device)
    measure = asked.measure
    begun, ended = [], []

    def watched(layers, settings):
        assert begun == ended
        begun.append(len(layers))
        yield from measure(layers, settings)
        ended.append(len(layers))

    asked.measure = watched
    profile(asked, space, TimerSettings(), out)
    assert begun == ended != []
