import numpy as np
import pytest

from metanas.errors import ArchitectureError
from metanas.spaces import VGG9Space, make_space, space_from_settings
from metanas_agent.layers import dtypes_of
from support.space_conformance import SpaceConformance


class TestPooled(SpaceConformance):
    @pytest.fixture
    def space(self):
        return VGG9Space(input_shape=(1, 28, 28), ways=5)


class TestStridedOddColourImages(SpaceConformance):
    @pytest.fixture
    def space(self):
        return VGG9Space(input_shape=(3, 21, 30), ways=3, downsampling="strided", pool=2)


class TestWithoutGlobalExpansion(SpaceConformance):
    @pytest.fixture
    def space(self):
        return VGG9Space(input_shape=(1, 28, 28), ways=5, global_expansion=False)


class TestInt8(SpaceConformance):
    bytes_per_value = 1

    @pytest.fixture
    def space(self):
        return VGG9Space(input_shape=(1, 28, 28), ways=5, dtype="int8")


class TestWithoutAdaptiveDepth(SpaceConformance):
    @pytest.fixture
    def space(self):
        return VGG9Space(input_shape=(1, 20, 20), ways=7, adaptive_depth=False)


@pytest.mark.parametrize(
    ("shape", "ways", "channels", "params", "macs"),
    [((1, 28, 28), 20, 64, 113.21e3, 10.07e6), ((3, 84, 84), 5, 48, 70.09e3, 57.38e6)],
    ids=["omniglot", "mini-imagenet"],
)
def test_counts_mamls_networks_as_the_paper_does(shape, ways, channels, params, macs):
    space = VGG9Space(input_shape=shape, ways=ways)
    genes = space.encode([space.chain(channels)])
    assert space.params(genes)[0] == pytest.approx(params, rel=1e-3)
    assert space.macs(genes)[0] == pytest.approx(macs, rel=1e-3)


def test_has_the_papers_choices():
    space = VGG9Space(input_shape=(1, 28, 28), ways=5)
    assert space.channels == (16, 32, 48, 64, 96, 128, 144)
    assert space.cardinalities == (4, *(3, 7, 6) * 4)
    per_position = 3 * 7 * 6
    assert len(space.all_layers) == per_position * (1 + 3 * 7) + 4 * 7


@pytest.mark.parametrize(
    ("downsampling", "sides"), [("pooled", [28, 14, 7, 4, 2]), ("strided", [28, 14, 7, 4, 2])]
)
def test_each_layer_halves_the_map(downsampling, sides):
    space = VGG9Space(input_shape=(1, 28, 28), ways=5, downsampling=downsampling)
    assert [layer.height for layer in space.layers(space.largest())] == sides


def test_strided_is_cheaper_than_pooled():
    pooled, strided = (
        VGG9Space(input_shape=(1, 28, 28), ways=5, downsampling=name)
        for name in ("pooled", "strided")
    )
    genes = pooled.sample(50, np.random.default_rng(0))
    assert (strided.macs(genes) < pooled.macs(genes)).all()
    assert np.array_equal(strided.params(genes), pooled.params(genes))


def test_pools_to_five_where_the_map_allows_it():
    small = VGG9Space(input_shape=(1, 28, 28), ways=5)
    large = VGG9Space(input_shape=(3, 84, 84), ways=5)
    deep, flat = small.layers(small.largest())[-1], large.layers(large.largest())[-1]
    assert (deep.pool, flat.pool) == (1, 5)


@pytest.mark.parametrize(
    "text",
    [
        "k3c64relu" + "-k3c64relu" * 4,  # too deep
        "k7c64relu",
        "k3c65relu",
        "k3c64tanh",
        "k3c64relu--k3c64relu",
        "K3C64RELU",
        "k3c64relu-k3c64relu7",
        "k³c64relu",
        "k3c64none",
    ],
)
def test_refuses_what_the_space_does_not_hold(text):
    with pytest.raises(ArchitectureError):
        VGG9Space(input_shape=(1, 28, 28), ways=5).parse(text)


def test_refuses_other_depths_and_channels_where_they_are_not_searched():
    deep = VGG9Space(input_shape=(1, 28, 28), ways=5, adaptive_depth=False)
    with pytest.raises(ArchitectureError, match="number of layers 1"):
        deep.parse("k3c64relu")
    narrow = VGG9Space(input_shape=(1, 28, 28), ways=5, global_expansion=False)
    with pytest.raises(ArchitectureError, match="channels 16"):
        narrow.parse("k3c16relu")


def test_spaces_are_made_by_name():
    space = make_space("vgg9", input_shape=(3, 32, 32), ways=2, downsampling="strided")
    assert space.settings["downsampling"] == "strided"
    assert space.settings["input"] == "3x32x32"
    with pytest.raises(ArchitectureError, match="resnet99"):
        make_space("resnet99", input_shape=(3, 32, 32), ways=2)


def test_refuses_an_unknown_downsampling():
    with pytest.raises(ArchitectureError, match="halved"):
        make_space("vgg9", input_shape=(1, 28, 28), ways=5, downsampling="halved")


def test_int8_is_said_in_every_layer_and_in_the_settings():
    plain = VGG9Space(input_shape=(1, 28, 28), ways=5)
    int8 = VGG9Space(input_shape=(1, 28, 28), ways=5, dtype="int8")
    assert dtypes_of(int8.all_layers) == {"int8"}
    assert int8.settings == plain.settings | {"dtype": "int8"}
    assert space_from_settings(int8.settings).settings == int8.settings
    genes = plain.sample(20, np.random.default_rng(0))
    assert np.array_equal(int8.macs(genes), plain.macs(genes))
    assert np.array_equal(4 * int8.memory_bytes(genes), plain.memory_bytes(genes))


def test_refuses_an_unknown_dtype():
    with pytest.raises(ArchitectureError, match="unknown dtype 'int4'"):
        VGG9Space(input_shape=(1, 28, 28), ways=5, dtype="int4")
