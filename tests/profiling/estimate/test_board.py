"""NewBoard: probes narrow what other devices let expect, and intervals hold what is true."""

import numpy as np
import pytest

from metanas.profiling.estimate.board import NewBoard, Probes
from metanas.profiling.estimate.residual import Residual
from metanas.profiling.estimate.table import own_times

EXACT = 1e-8


@pytest.fixture(scope="module")
def truth(space, tables):
    own = own_times(tables["is"])
    return np.log([own[layer.key] for layer in space.all_layers])


@pytest.fixture(scope="module")
def board(space, tables):
    return NewBoard(space.all_layers, [own_times(tables[name]) for name in ("ws", "os")])


@pytest.fixture(scope="module")
def uses(space):
    genes = space.sample(50, np.random.default_rng(4))
    return np.array(
        [
            [np.count_nonzero(row == place) for place in range(len(space.all_layers))]
            for row in space.layer_indices(genes)
        ],
        float,
    )


def probes_at(places, truth):
    return Probes(places, truth[places], np.full(len(places), EXACT))


def test_errors_are_small_and_intervals_cover(board, truth, uses):
    places = board.choose_probes(15, uses)
    mean, deviation = board.estimate(probes_at(places, truth))
    rest = np.setdiff1d(np.arange(len(truth)), places)
    errors = np.abs(mean - truth)[rest]
    assert np.median(errors) < 0.15
    assert (errors < 1.96 * deviation[rest]).mean() > 0.9


def test_more_probes_tell_more(board, truth, uses):
    places = board.choose_probes(60, uses)
    few, many = (board.estimate(probes_at(places[:count], truth)) for count in (6, 60))
    assert np.abs(many.mean - truth).mean() < np.abs(few.mean - truth).mean()
    assert many.deviation.mean() < few.deviation.mean()


def test_a_noisy_probe_is_believed_less(board, truth, uses):
    places = board.choose_probes(15, uses)
    off = truth[places].copy()
    off[0] += 1.0
    variance = np.full(len(places), EXACT)
    believed = board.estimate(Probes(places, off, variance))
    variance[0] = 4.0
    doubted = board.estimate(Probes(places, off, variance))
    rest = np.setdiff1d(np.arange(len(truth)), places)
    assert np.abs(doubted.mean - truth)[rest].mean() < np.abs(believed.mean - truth)[rest].mean()


def test_a_faster_device_is_as_much_faster(board, truth, uses):
    places = board.choose_probes(15, uses)
    one, other = (board.estimate(probes_at(places, truth + speed)) for speed in (0.0, -0.7))
    np.testing.assert_allclose(one.mean - other.mean, 0.7, atol=0.1)


def test_chosen_probes_are_distinct_and_go_on_from_what_is_known(board, truth, uses):
    first = board.choose_probes(8, uses)
    more = board.choose_probes(8, uses, probes_at(first, truth))
    assert len({*first.tolist(), *more.tolist()}) == 16
    assert board.choose_probes(8, uses).tolist() == first.tolist()


def test_no_more_probes_than_layers(board, truth, uses):
    everything = board.choose_probes(10_000, uses)
    assert sorted(everything.tolist()) == list(range(len(truth)))


def test_layers_that_other_devices_lack_are_estimated_too(space, tables, truth, uses):
    own = own_times(tables["ws"])
    half = {key: own[key] for key in list(own)[::2]}
    board = NewBoard(space.all_layers, [half])
    mean, _ = board.estimate(probes_at(board.choose_probes(15, uses), truth))
    assert np.median(np.abs(mean - truth)) < 0.3


def test_the_residual_has_a_covariance(space):
    layers = space.all_layers
    rng = np.random.default_rng(5)
    residual = Residual(layers, rng.normal(size=(2, len(layers))))
    places = rng.permutation(len(layers))[:300]
    covariance = residual.covariance(places, places)
    np.testing.assert_allclose(np.diag(covariance), residual.variance(places))
    np.testing.assert_allclose(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9


def test_devices_that_are_just_as_expected_leave_no_residual(space):
    layers = space.all_layers
    residual = Residual(layers, np.zeros((1, len(layers))))
    places = np.arange(5)
    assert np.isfinite(residual.covariance(places, places)).all()
