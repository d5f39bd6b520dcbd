"""Work: a device's costs come back out of the latencies that they make."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from metanas.profiling.estimate.work import (
    TERMS,
    Work,
    fit_costs,
    spread_of_costs,
    usual_costs,
)
from metanas_agent.layers import AddLayer, ConvLayer, HeadLayer

LAYERS = [
    *(
        ConvLayer(channels, side, side, out, kernel, activation=activation, pool=pool)
        for channels, side in ((1, 28), (16, 14), (64, 7))
        for out in (16, 96)
        for kernel in (1, 3, 5)
        for activation in ("relu", "elu", "selu", "sigmoid", "leakyrelu", "relu6")
        for pool in (1, 2)
    ),
    *(AddLayer(channels, 7, 7, "relu") for channels in (16, 64, 96)),
    *(HeadLayer(channels, side, side, 1, 5) for channels in (16, 64) for side in (2, 7)),
]
WORK = Work(LAYERS)


@given(st.lists(st.floats(-1.5, 1.5), min_size=len(TERMS), max_size=len(TERMS)), st.floats(-6, 3))
@settings(max_examples=20, deadline=None)
def test_latencies_of_known_costs_are_fitted(offsets, log_ms):
    costs = usual_costs(log_ms) + np.array(offsets)
    measured = WORK.log_ms(costs)
    fitted = fit_costs(WORK, measured, np.full(len(LAYERS), 1e-4), usual_costs(measured.mean()))
    assert np.abs(WORK.log_ms(fitted) - measured).max() < 0.03


@given(st.lists(st.floats(-2, 2), min_size=len(TERMS), max_size=len(TERMS)))
@settings(max_examples=20, deadline=None)
def test_slopes_are_the_derivatives(costs):
    costs = np.array(costs)
    slopes = WORK.slopes(costs)
    for term in range(len(TERMS)):
        step = np.zeros(len(TERMS))
        step[term] = 1e-5
        change = (WORK.log_ms(costs + step) - WORK.log_ms(costs - step)) / 2e-5
        np.testing.assert_allclose(slopes[:, term], change, atol=1e-6)


def test_more_work_takes_longer():
    small, large = (ConvLayer(16, 14, 14, out, 3) for out in (16, 96))
    first, second = Work([small, large], like=WORK).log_ms(usual_costs(0.0))
    assert first < second


def test_a_matrix_and_variances_are_the_same_noise():
    measured = WORK.log_ms(usual_costs(0.5)) + 0.1
    variances = np.linspace(0.01, 0.02, len(LAYERS))
    usual = usual_costs(0.0)
    np.testing.assert_allclose(
        fit_costs(WORK, measured, variances, usual),
        fit_costs(WORK, measured, np.diag(variances), usual),
    )


def test_the_spread_of_costs_is_a_covariance():
    assert np.linalg.eigvalsh(spread_of_costs()).min() > 0


def test_terms_that_no_layer_has_do_not_matter():
    few = LAYERS[:3]
    assert np.isfinite(Work(few).log_ms(usual_costs(0.0))).all()
