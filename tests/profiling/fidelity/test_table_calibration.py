"""A table's file, calibrated with whole networks: on this machine, and in bad weather."""

import dataclasses
import json
from contextlib import closing

import numpy as np
import pytest

from metanas.devices import open_device
from metanas.errors import (
    CalibrationError,
    MissingRowsError,
    TableBusyError,
    TableMismatchError,
    UnsupportedError,
)
from metanas.profiling import (
    FEWEST_NETWORKS,
    LatencyTable,
    calibrate_table,
    network_model,
    profile,
    read_table,
    write_table,
)
from metanas.profiling.fidelity import networks_journal
from metanas.profiling.fidelity.table_calibration import ROUNDS
from metanas.profiling.table import timer_of
from metanas.profiling.timings import exclusive, journal_path
from metanas.spaces import VGG9Space
from metanas_agent.timer import TimerSettings

SETTINGS = TimerSettings()
QUICK = TimerSettings(budget_ms=1, interval=0.2, min_samples=6, sample_ms=0.01)
NETWORKS = 6


@pytest.fixture(scope="module")
def local():
    with closing(open_device("local")) as device:
        yield device


@pytest.fixture(scope="module")
def small():
    """Few layers, since each is timed."""
    return VGG9Space(input_shape=(1, 4, 4), ways=5, global_expansion=False, adaptive_depth=False)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "t.tsv"


@pytest.fixture(scope="module")
def measured(local, small, tmp_path_factory):
    return profile(local, small, QUICK, tmp_path_factory.mktemp("tables") / "t.tsv", rounds=1)


@pytest.fixture
def board_table(network_device, space, path):
    """Of a computed device that passes for a measured one, in fair weather."""
    return profile(network_device(), space, SETTINGS, path, rounds=1)


def hot(_, row):
    return dataclasses.replace(row, verdict="throttled", reason="hot")


def changed(table, **changes):
    return LatencyTable(dataclasses.replace(table.header, **changes), table.rows)


def test_calibrates_with_networks_that_run_here(local, measured, path):
    write_table(measured, path)
    seen = []
    report = calibrate_table(
        local, path, networks=NETWORKS, seed=1, on_progress=lambda *at: seen.append(at)
    )
    found = read_table(path)
    assert found.header.calibration == report.calibration
    assert report.calibration.networks == NETWORKS
    assert report.calibration.made["seed"] == 1
    assert {"command", "version", "made"} < report.calibration.made.keys()
    assert found.uncalibrated == measured
    assert seen[-1][0] == seen[-1][1] >= ROUNDS * NETWORKS
    assert list(path.parent.iterdir()) == [path]
    assert report.throttled == 0
    assert report.before.worst_error < 5  # of the same order: the same units, and no layer lost


@pytest.mark.parametrize(
    ("timer", "said"),
    [({"cache": "cold"}, "cold cache"), ({"threads": 2}, "2 threads")],
)
def test_a_table_of_cold_caches_or_threads_is_calibrated(local, measured, path, timer, said):
    """The rows name what the device does not, as a sweep of them would have it."""
    version = f"{measured.shared('runtime_version')} {said}"
    rows = {
        key: dataclasses.replace(row, runtime_version=version) for key, row in measured.rows.items()
    }
    header = dataclasses.replace(measured.header, timer=timer)
    write_table(LatencyTable(header, rows), path)
    calibrate_table(local, path, networks=FEWEST_NETWORKS)
    assert read_table(path).header.calibration.networks == FEWEST_NETWORKS


def test_networks_are_timed_as_the_rows_were(table):
    timer = {"core": 1, "threads": 2, "cache": "cold", "batch": 3, "budget_ms": 7}
    settings = timer_of(changed(table, timer=timer))
    assert settings == TimerSettings(core=1, threads=2, cache="cold", batch=3)
    asked = TimerSettings(core=5, threads=7, budget_ms=9, seed=4)
    assert timer_of(changed(table, timer={}), asked) == TimerSettings(
        core=None, budget_ms=9, seed=4
    )


def test_another_device_is_refused(local, table, path):
    write_table(table, path)
    with pytest.raises(TableMismatchError, match="processor"):
        calibrate_table(local, path)


def test_another_version_of_the_runtime_is_refused(local, measured, path):
    write_table(
        changed(
            measured, device=dataclasses.replace(measured.header.device, runtimes={"onnx": "0.1"})
        ),
        path,
    )
    with pytest.raises(TableMismatchError, match=r"version of onnx: the table says 0\.1"):
        calibrate_table(local, path)


def test_networks_timed_by_another_version_than_the_rows_are_refused(local, measured, path):
    rows = {
        key: dataclasses.replace(row, runtime_version="0.1") for key, row in measured.rows.items()
    }
    write_table(LatencyTable(measured.header, rows), path)
    before = path.read_bytes()
    with pytest.raises(TableMismatchError, match="version of onnx"):
        calibrate_table(local, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_missing_rows_are_found_before_anything_is_timed(local, measured, path):
    write_table(LatencyTable(measured.header, dict(list(measured.rows.items())[:3])), path)
    with pytest.raises(MissingRowsError):
        calibrate_table(local, path)
    assert list(path.parent.iterdir()) == [path]


def test_a_merged_table_is_refused(local, measured, path):
    write_table(changed(measured, spaces=measured.header.spaces * 2), path)
    with pytest.raises(TableMismatchError, match="2 spaces"):
        calibrate_table(local, path)


def test_a_computed_device_leaves_no_journal_behind(device, table, path):
    write_table(table, path)
    with pytest.raises(UnsupportedError):
        calibrate_table(device, path)
    assert not networks_journal(path).exists()


def test_a_throttled_run_can_be_repeated(network_device, board_table, path):
    with pytest.raises(CalibrationError, match="throttled"):
        calibrate_table(network_device(weather=hot), path, networks=NETWORKS)
    assert not networks_journal(path).exists()
    report = calibrate_table(network_device(), path, networks=NETWORKS)
    assert report.throttled == 0
    assert report.calibration.networks == NETWORKS
    assert read_table(path).rows == board_table.rows


def test_networks_that_stay_throttled_are_counted(network_device, board_table, space, path):
    """Every timing of the largest of the files is throttled."""

    def weather(_, row):
        return hot(_, row) if row.key == "sha256" and row.median_ms == largest_ms else row

    sizes = []
    calibrate_table(
        network_device(weather=lambda _, row: sizes.append(row) or row), path, networks=NETWORKS
    )
    largest_ms = max(row.median_ms for row in sizes if row.key == "sha256")
    report = calibrate_table(network_device(weather=weather), path, networks=NETWORKS)
    assert (report.throttled, report.calibration.networks) == (1, NETWORKS - 1)
    with pytest.raises(CalibrationError, match="5 networks were timed, 1 of them while"):
        calibrate_table(network_device(weather=weather), path, networks=5)


def test_a_killed_run_goes_on_and_a_fresh_one_starts_over(network_device, board_table, path):
    def fails_after(done, _):
        if done == 7:
            raise KeyboardInterrupt

    for fresh, count in ((False, ROUNDS * NETWORKS - 7), (True, ROUNDS * NETWORKS)):
        with pytest.raises(KeyboardInterrupt):
            calibrate_table(network_device(), path, networks=NETWORKS, on_progress=fails_after)
        board = network_device()
        calibrate_table(board, path, networks=NETWORKS, fresh=fresh)
        assert board.asked.count("network") == count


def test_a_sweep_and_another_calibration_are_kept_out_all_the_time(
    network_device, board_table, space, path
):
    refused = []

    def other(done, _):
        if done == 3:
            for begin in (
                lambda: calibrate_table(network_device(), path),
                lambda: profile(network_device(), space, SETTINGS, path, fresh=True),
            ):
                with pytest.raises(TableBusyError):
                    begin()
                refused.append(done)

    calibrate_table(network_device(), path, networks=NETWORKS, on_progress=other)
    assert refused == [3, 3]
    with exclusive(journal_path(path)), pytest.raises(TableBusyError):
        calibrate_table(network_device(), path)


def test_rows_that_were_written_meanwhile_are_kept(network_device, board_table, path):
    newer = LatencyTable(board_table.header, dict(list(board_table.rows.items())[:-1]))

    def write(done, _):
        if done == 3:
            write_table(newer, path)

    with pytest.raises(TableMismatchError, match="another command"):
        calibrate_table(network_device(), path, networks=NETWORKS, on_progress=write)
    assert read_table(path) == newer
    assert len(networks_journal(path).read_text().splitlines()) > ROUNDS * NETWORKS


def test_the_pace_is_that_of_the_tables_own_sentinel(
    network_device, board_table, space, scale, path
):
    """Another than the sweep's first choice, since a sweep may have to fall back to it."""
    layer = space.all_layers[3]
    row = board_table.row(layer)
    sentinel = dataclasses.replace(
        board_table.header.sentinel, key=layer.key, median_ms=row.median_ms
    )
    write_table(changed(board_table, sentinel=sentinel), path)
    board = network_device()
    journaled = []

    def read(done, _):
        if done == 1:
            journaled.extend(map(json.loads, networks_journal(path).read_text().splitlines()))

    calibrate_table(board, path, networks=NETWORKS, on_progress=read)
    assert set(board.asked) == {"network", layer.key}
    assert journaled[0]["making"]["sentinel"] == layer.key


def test_no_prediction_of_a_calibrated_table_is_negative(network_device, board_table, space, path):
    """The line would suit all that is measured, and not the cheapest network of the space."""
    cheapest = space.encode([space.cheapest(board_table.costs_ms(space))])
    (cheapest_ms,) = board_table.latency_ms(space, cheapest)
    for seed in range(20):
        genes = space.sample(NETWORKS, np.random.default_rng(seed))
        sums_ms = board_table.latency_ms(space, genes)
        if sums_ms.min() > 1.5 * cheapest_ms:
            break
    offset_ms = -1.9 * sums_ms.min()
    models = [network_model(space, space.from_genes(row), seed=seed) for row in genes]
    measured_ms = dict(zip(map(len, models), 2 * sums_ms + offset_ms, strict=True))
    assert min(measured_ms.values()) > 0 > 2 * cheapest_ms + offset_ms

    def weather(_, row):
        times = ("median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms")
        latency_ms = measured_ms.get(round(row.median_ms), row.median_ms)
        return dataclasses.replace(row, **dict.fromkeys(times, latency_ms))

    report = calibrate_table(network_device(weather=weather), path, networks=NETWORKS, seed=seed)
    assert report.before.worst_error > 1
    assert (report.calibration.scale, report.calibration.offset_ms) == (1.0, 0.0)
    assert (read_table(path).latency_ms(space, cheapest) > 0).all()
