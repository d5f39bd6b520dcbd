"""The correction from a table's sums to whole networks, and what is said of it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metanas.errors import CalibrationError
from metanas.profiling.fidelity.additivity import additivity
from metanas.profiling.fidelity.calibration import FEWEST_NETWORKS, calibrate


def sums_ms(count=20):
    return np.random.default_rng(0).uniform(0.1, 5, count)


@settings(deadline=None)
@given(scale=st.floats(0.5, 2), offset_ms=st.floats(0, 0.5))
def test_a_line_is_found(scale, offset_ms):
    predicted_ms = sums_ms()
    report = calibrate(predicted_ms, scale * predicted_ms + offset_ms)
    line = report.calibration
    assert line.scale * predicted_ms + line.offset_ms == pytest.approx(
        scale * predicted_ms + offset_ms, rel=1e-4
    )
    assert line.networks == len(predicted_ms)
    assert report.after.worst_error <= report.before.worst_error + 1e-9
    assert report.after.tau == 1


def test_small_networks_count_as_much_as_large_ones():
    """In absolute terms the one large network would draw the line to itself."""
    predicted_ms = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 100.0])
    measured_ms = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 190.0])
    line = calibrate(predicted_ms, measured_ms).calibration
    assert line.scale == pytest.approx(2, rel=0.06)
    assert abs(line.offset_ms) < 0.02


def test_errors_are_of_networks_that_the_line_has_not_seen():
    rng = np.random.default_rng(1)
    predicted_ms = sums_ms(6)
    measured_ms = predicted_ms * 1.2 * rng.uniform(0.9, 1.1, 6)
    report = calibrate(predicted_ms, measured_ms)
    line = report.calibration
    fitted = additivity(line.scale * predicted_ms + line.offset_ms, measured_ms)
    assert report.after.mean_error > fitted.mean_error
    assert line.mean_error == pytest.approx(report.after.mean_error, rel=1e-3)
    assert line.worst_error == pytest.approx(report.after.worst_error, rel=1e-3)


def test_a_line_that_does_not_help_is_left_out():
    predicted_ms = sums_ms(5)
    noise = np.array([1.01, 0.99, 1.02, 0.98, 1.0])
    report = calibrate(predicted_ms, predicted_ms * noise)
    assert (report.calibration.scale, report.calibration.offset_ms) == (1.0, 0.0)
    assert report.after == report.before


@pytest.mark.parametrize(
    ("scale", "offset_ms", "cheapest_ms", "sound"),
    [
        (1.5, -0.1, math.inf, True),
        (1.5, -0.1, 0.07, True),
        (1.5, -0.1, 0.06, False),
        (-0.1, 9.0, 0.06, False),
    ],
)
def test_a_line_by_which_a_network_takes_no_time_is_left_out(scale, offset_ms, cheapest_ms, sound):
    predicted_ms = sums_ms()
    measured_ms = scale * predicted_ms + offset_ms
    report = calibrate(predicted_ms, measured_ms, cheapest_ms=cheapest_ms)
    line = report.calibration
    found = pytest.approx((scale, offset_ms), rel=1e-4) if sound else (1.0, 0.0)
    assert (line.scale, line.offset_ms) == found
    assert sound or report.after == report.before


def test_a_line_by_which_a_measured_network_takes_no_time_is_left_out():
    """It fits the others well, and so helps on the whole."""
    predicted_ms = np.array([0.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    measured_ms = np.array([9.0, 5.0, 15.0, 25.0, 35.0, 45.0, 55.0])
    line = calibrate(predicted_ms, measured_ms).calibration
    assert line.scale * predicted_ms.min() + line.offset_ms > 0


@pytest.mark.parametrize("disturbed", [[0], [3, 11], [5, 6, 7]])
def test_a_few_disturbed_networks_do_not_draw_the_line(disturbed):
    predicted_ms = np.geomspace(0.01, 2, 20)
    measured_ms = (1.03 * predicted_ms + 0.001) * np.random.default_rng(4).normal(1, 0.005, 20)
    quiet = calibrate(predicted_ms, measured_ms).calibration
    measured_ms[disturbed] *= 1.8
    found = calibrate(predicted_ms, measured_ms).calibration
    quiet_ms, found_ms = (line.scale * predicted_ms + line.offset_ms for line in (quiet, found))
    assert found_ms == pytest.approx(quiet_ms, rel=0.02)
    assert found.worst_error > 0.4  # it is not hidden


def sizes_bytes(count=20):
    return np.random.default_rng(3).integers(10_000, 20_000_000, count)


@settings(deadline=None)
@given(scale=st.floats(0.5, 2), offset_ms=st.floats(0, 0.5), ms_per_mb=st.floats(0.001, 0.5))
def test_what_parameters_cost_is_found(scale, offset_ms, ms_per_mb):
    predicted_ms, size_bytes = sums_ms(), sizes_bytes()
    measured_ms = scale * predicted_ms + offset_ms + ms_per_mb * size_bytes / 1e6
    report = calibrate(predicted_ms, measured_ms, size_bytes=size_bytes)
    line = report.calibration
    assert (line.scale, line.offset_ms, line.ms_per_mb) == pytest.approx(
        (scale, offset_ms, ms_per_mb), rel=1e-3, abs=1e-4
    )
    assert report.after.worst_error < 1e-6


def test_parameters_that_say_nothing_are_left_out():
    """More numbers to fit are worse for a network that was not fitted to."""
    predicted_ms, size_bytes = sums_ms(), sizes_bytes()
    measured_ms = predicted_ms * 1.3 + 0.1
    alone = calibrate(predicted_ms * 1.0, measured_ms)
    assert alone.calibration.ms_per_mb == 0
    constant = calibrate(predicted_ms, measured_ms, size_bytes=np.zeros_like(size_bytes))
    assert constant.calibration == alone.calibration


def test_parameters_that_would_make_a_network_faster_are_left_out():
    predicted_ms, size_bytes = sums_ms(), sizes_bytes()
    measured_ms = 2 * predicted_ms + 3 - 0.1 * size_bytes / 1e6
    assert measured_ms.min() > 0
    line = calibrate(predicted_ms, measured_ms, size_bytes=size_bytes).calibration
    assert line.ms_per_mb == 0
    assert line.scale > 0


def test_each_kind_is_reported_by_itself():
    """Where one kind takes more than promised, a line helps it and harms the other."""
    predicted_ms = sums_ms(20)
    kinds = ["random"] * 7 + ["chosen"] * 12 + ["odd"]
    measured_ms = predicted_ms * np.where(np.array(kinds) == "chosen", 1.1, 1.0)
    report = calibrate(predicted_ms, measured_ms, kinds=kinds)
    assert list(report.kinds) == ["random", "chosen"]  # one network is no kind
    random, chosen = report.kinds["random"], report.kinds["chosen"]
    assert random.before.mean_error == pytest.approx(0)
    assert chosen.before.bias == pytest.approx(1 / 1.1 - 1)
    assert chosen.after.mean_error < chosen.before.mean_error
    assert random.after.bias > 0 > chosen.after.bias
    whole = (7 * random.after.mean_error + 12 * chosen.after.mean_error) / 19
    assert report.after.mean_error == pytest.approx(whole, rel=0.15)


@pytest.mark.parametrize(
    ("predicted_ms", "measured_ms", "named"),
    [
        (np.ones(FEWEST_NETWORKS - 1), np.ones(FEWEST_NETWORKS - 1), "4 predictions"),
        (np.ones(6), np.ones(7), "7 measurements"),
        (np.arange(6.0), np.ones(6), "positive"),
        (np.ones(6), np.array([1, 1, 1, 1, 1, np.nan]), "positive"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(predicted_ms, measured_ms, named):
    with pytest.raises(CalibrationError, match=named) as caught:
        calibrate(predicted_ms, measured_ms)
    assert caught.value.hint
