"""What a calibrated table answers, and its sums beside networks that were measured."""

import dataclasses

import numpy as np
import pytest

from metanas.errors import CalibrationError
from metanas.profiling import Calibration, LatencyTable, NetworkTiming, compare_networks


@pytest.fixture
def calibrated(table):
    line = Calibration(scale=1.5, offset_ms=0.25, networks=9, mean_error=0.02, worst_error=0.1)
    return LatencyTable(dataclasses.replace(table.header, calibration=line), table.rows)


def timing(architecture, row, median_ms, *, sentinel_ms=1.0, verdict="trusted"):
    times = dict.fromkeys(("median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms"), median_ms)
    latency = dataclasses.replace(row, key=architecture, verdict=verdict, **times)
    return NetworkTiming(architecture, latency, sentinel_ms)


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
