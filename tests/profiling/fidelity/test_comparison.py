"""A table of this machine, calibrated with whole networks that run on it."""

import dataclasses
from contextlib import closing

import numpy as np
import pytest

from metanas.devices import open_device
from metanas.errors import CalibrationError, MissingRowsError, TableMismatchError
from metanas.profiling import (
    Calibration,
    LatencyTable,
    NetworkTiming,
    calibrate_table,
    compare_networks,
    profile,
)
from metanas.spaces import VGG9Space
from metanas_agent.timer import TimerSettings

QUICK = TimerSettings(budget_ms=4, interval=0.2, min_samples=6, sample_ms=0.05)
NETWORKS = 6


@pytest.fixture(scope="module")
def local():
    with closing(open_device("local")) as device:
        yield device


@pytest.fixture(scope="module")
def small():
    """Few layers, since each is timed."""
    return VGG9Space(input_shape=(1, 4, 4), ways=5, global_expansion=False, adaptive_depth=False)


@pytest.fixture(scope="module")
def measured(local, small, tmp_path_factory):
    return profile(local, small, QUICK, tmp_path_factory.mktemp("tables") / "t.tsv", rounds=1)


@pytest.fixture
def calibrated(table):
    line = Calibration(scale=1.5, offset_ms=0.25, networks=9, mean_error=0.02, worst_error=0.1)
    return LatencyTable(dataclasses.replace(table.header, calibration=line), table.rows)


def timing(architecture, row, median_ms, *, sentinel_ms=1.0, verdict="trusted"):
    times = dict.fromkeys(("median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms"), median_ms)
    latency = dataclasses.replace(row, key=architecture, verdict=verdict, **times)
    return NetworkTiming(architecture, latency, sentinel_ms)


def test_calibrates_with_networks_that_run_here(local, measured, tmp_path):
    journal = tmp_path / "journal.jsonl"
    seen = []
    found, report = calibrate_table(
        local, measured, journal, networks=NETWORKS, on_progress=lambda *at: seen.append(at)
    )
    assert found.header.calibration == report.calibration
    assert report.calibration.networks == NETWORKS
    assert found.rows == measured.rows
    assert found.uncalibrated == measured
    assert seen[-1][0] == seen[-1][1] >= 2 * NETWORKS
    assert not journal.exists()
    assert report.before.worst_error < 5  # of the same order: the same units, and no layer lost


def test_the_line_is_in_every_answer(table, calibrated, space):
    genes = space.sample(20, np.random.default_rng(0))
    plain_ms = table.latency_ms(space, genes)
    assert calibrated.latency_ms(space, genes) == pytest.approx(1.5 * plain_ms + 0.25)
    assert calibrated.uncalibrated.latency_ms(space, genes).tolist() == plain_ms.tolist()
    costs_ms = calibrated.call_ms + space.sum_over_layers(genes, calibrated.costs_ms(space))
    assert costs_ms == pytest.approx(1.5 * plain_ms + 0.25)
    layer = space.all_layers[5]
    assert calibrated.layer_ms(layer) == pytest.approx(1.5 * table.layer_ms(layer))


def test_bounds_are_as_wide_as_the_worst_network_was_off(calibrated, space):
    genes = space.sample(20, np.random.default_rng(0))
    latency_ms = calibrated.latency_ms(space, genes)
    low_ms, high_ms = calibrated.interval_ms(space, genes)
    assert (low_ms <= 0.9 * latency_ms + 1e-9).all()
    assert (high_ms >= 1.1 * latency_ms - 1e-9).all()


def test_a_slower_pace_is_taken_out(table, space):
    row = next(iter(table.rows.values()))
    sentinel_ms = table.header.sentinel.median_ms
    texts = [str(space.from_genes(genes)) for genes in space.sample(2, np.random.default_rng(0))]
    timings = [
        timing(texts[0], row, 3.0, sentinel_ms=sentinel_ms),
        timing(texts[1], row, 3.0, sentinel_ms=1.5 * sentinel_ms),
    ]
    assert compare_networks(table, space, timings).measured_ms == pytest.approx([3.0, 2.0])


def test_what_was_throttled_is_left_out(table, space):
    row = next(iter(table.rows.values()))
    texts = [str(space.from_genes(genes)) for genes in space.sample(2, np.random.default_rng(0))]
    hot, cool = timing(texts[0], row, 3.0, verdict="throttled"), timing(texts[1], row, 3.0)
    assert compare_networks(table, space, [hot, cool]).timings == (cool,)
    with pytest.raises(CalibrationError, match="throttled"):
        compare_networks(table, space, [hot])


def test_another_device_or_runtime_is_refused(local, table, tmp_path):
    with pytest.raises(TableMismatchError, match="processor"):
        calibrate_table(local, table, tmp_path / "journal.jsonl")


def test_another_version_of_the_runtime_is_refused(local, measured, tmp_path):
    rows = {
        key: dataclasses.replace(row, runtime_version="0.1") for key, row in measured.rows.items()
    }
    with pytest.raises(TableMismatchError, match="version of onnx"):
        calibrate_table(local, LatencyTable(measured.header, rows), tmp_path / "journal.jsonl")


def test_missing_rows_are_found_before_anything_is_timed(local, measured, tmp_path):
    rows = dict(list(measured.rows.items())[:3])
    journal = tmp_path / "journal.jsonl"
    with pytest.raises(MissingRowsError):
        calibrate_table(local, LatencyTable(measured.header, rows), journal)
    assert not journal.exists()


def test_a_merged_table_is_refused(local, measured, tmp_path):
    header = dataclasses.replace(measured.header, spaces=measured.header.spaces * 2)
    with pytest.raises(TableMismatchError, match="2 spaces"):
        calibrate_table(local, LatencyTable(header, measured.rows), tmp_path / "journal.jsonl")
