import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas.profiling import CALL, expected_shares
from metanas.profiling.sweep.order import TIER, by_need, shuffled
from metanas.spaces import make_space
from metanas_agent.layers import ConvLayer, HeadLayer, parse_layer

LAYERS = [
    ConvLayer(1, 8, 8, out_channels=channels, kernel=3, activation="relu", pool=1)
    for channels in range(1, 260)
]
LARGEST = LAYERS[-1].key

seeds = st.integers(0, 2**32 - 1)
counts = st.integers(2, len(LAYERS))


def rng(seed):
    return np.random.default_rng(seed)


@given(seeds, counts)
def test_shuffled_holds_each_once_and_the_largest_not_last(seed, count):
    layers = LAYERS[-count:]
    keys = shuffled(layers, rng(seed))
    assert sorted(keys) == sorted(layer.key for layer in layers)
    assert keys[-1] != LARGEST
    assert keys == shuffled(layers, rng(seed))


@given(seeds)
def test_the_largest_may_stand_anywhere_else(seed):
    """The rule moves it from one place only."""
    plain = [LAYERS[place].key for place in rng(seed).permutation(len(LAYERS))]
    if plain[-1] != LARGEST:
        assert shuffled(LAYERS, rng(seed)) == plain


@given(seeds, st.booleans())
def test_what_is_needed_most_is_in_an_earlier_tier(seed, backwards):
    ranked = [layer.key for layer in (LAYERS[::-1] if backwards else LAYERS)]
    needs = {key: 1 / place for place, key in enumerate(ranked, 1)}
    keys = by_need([*LAYERS[100:], CALL, *LAYERS[:100]], needs, rng(seed))
    assert keys[0] == CALL.key
    assert keys[-1] != LARGEST
    for start in range(0, len(LAYERS), TIER):
        assert set(keys[1:][start : start + TIER]) == set(ranked[start : start + TIER])
    assert keys[1:] != ranked


def test_one_row_and_no_row_have_an_order():
    assert shuffled([], rng(0)) == []
    assert shuffled([CALL], rng(0)) == [CALL.key]
    assert by_need([LAYERS[0]], {}, rng(0)) == [LAYERS[0].key]


@pytest.fixture(scope="module", params=["vgg9", "resnet12"])
def searched(request):
    return make_space(request.param, input_shape=(3, 32, 32), ways=5)


def test_shares_are_those_of_random_architectures(searched):
    shares = expected_shares(searched)
    assert list(shares) == [layer.key for layer in searched.all_layers]
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= 0
    assert expected_shares(searched) == shares


def test_more_work_and_more_use_are_a_larger_share():
    space = make_space("vgg9", input_shape=(1, 28, 28), ways=5)
    shares = expected_shares(space)
    heads = [key for key in shares if isinstance(parse_layer(key), HeadLayer)]
    largest = max(space.all_layers, key=lambda layer: layer.macs).key
    smallest = min(
        (layer for layer in space.all_layers if isinstance(layer, ConvLayer)),
        key=lambda layer: layer.macs / max(layer.in_channels, 2),
    )
    median = float(np.median(list(shares.values())))
    assert shares[largest] > 2 * median
    assert min(shares[key] for key in heads) > median  # every architecture has one of a few
    assert shares[smallest.key] < shares[largest]
