from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from metanas.errors import ArchitectureError
from metanas.spaces import ConvArchitecture, ResNet12Space, make_space
from metanas.spaces.residual import ResidualNetwork
from metanas_agent.layers import AddLayer, ConvLayer, HeadLayer, dtypes_of
from support.space_conformance import SpaceConformance, random_images, random_weights

BLOCK = "k3c32relu-k5c16elu-k1c64sigmoid"


class TestPooled(SpaceConformance):
    @pytest.fixture
    def space(self):
        return ResNet12Space(input_shape=(1, 14, 14), ways=5)


class TestStridedOddColourImages(SpaceConformance):
    @pytest.fixture
    def space(self):
        return ResNet12Space(input_shape=(3, 11, 13), ways=3, downsampling="strided", pool=2)


class TestWithoutGlobalExpansion(SpaceConformance):
    @pytest.fixture
    def space(self):
        return ResNet12Space(input_shape=(1, 12, 12), ways=5, global_expansion=False)


class TestInt8(SpaceConformance):
    bytes_per_value = 1

    @pytest.fixture
    def space(self):
        return ResNet12Space(input_shape=(1, 12, 12), ways=5, dtype="int8")


class TestWithoutAdaptiveDepth(SpaceConformance):
    @pytest.fixture
    def space(self):
        return ResNet12Space(input_shape=(1, 10, 10), ways=7, adaptive_depth=False)


@pytest.fixture
def space():
    return ResNet12Space(input_shape=(3, 84, 84), ways=5)


def test_has_the_papers_choices(space):
    """Table 9, and "approximately 2 x 10^24 possible sub-networks"."""
    assert space.layer_channels[::3] == (
        (8, 16, 32, 48, 56, 64),
        (16, 32, 64, 96, 112, 128),
        (32, 64, 128, 192, 224, 256),
        (64, 128, 256, 384, 448, 512),
    )
    depths, *layers = space.cardinalities
    assert depths == 4
    assert 2.5e24 < float(np.prod(layers, dtype=float)) < 2.6e24


def test_counts_the_resnet12_of_few_shot_learning(space):
    """12.44M parameters in table 6: the ResNet-12 of 64, 160, 320 and 640 channels."""
    usual = space.plain([channels for channels in (64, 160, 320, 640) for _ in range(3)])
    *blocks, head = space.layers(usual)
    body = sum(layer.params for layer in blocks)
    assert body + (640 + 1) * 5 == pytest.approx(12.44e6, rel=1e-3)
    assert head.params == (640 * 5 * 5 + 1) * 5


def test_a_block_is_three_convolutions_a_shortcut_and_a_sum(space):
    assert space.layers(space.parse(BLOCK)) == (
        ConvLayer(3, 84, 84, out_channels=32, kernel=3, activation="relu"),
        ConvLayer(32, 84, 84, out_channels=16, kernel=5, activation="elu"),
        ConvLayer(16, 84, 84, out_channels=64, kernel=1, activation="none"),
        ConvLayer(3, 84, 84, out_channels=64, kernel=1, activation="none"),
        AddLayer(64, 84, 84, activation="sigmoid", pool=2),
        HeadLayer(64, 42, 42, pool=5, ways=5),
    )


def test_a_strided_block_halves_the_map_at_its_entrance():
    space = ResNet12Space(input_shape=(3, 21, 30), ways=5, downsampling="strided")
    assert space.layers(space.parse(BLOCK)) == (
        ConvLayer(3, 21, 30, out_channels=32, kernel=3, stride=2, activation="relu"),
        ConvLayer(32, 11, 15, out_channels=16, kernel=5, activation="elu"),
        ConvLayer(16, 11, 15, out_channels=64, kernel=1, activation="none"),
        ConvLayer(3, 21, 30, out_channels=64, kernel=1, stride=2, activation="none"),
        AddLayer(64, 11, 15, activation="sigmoid", pool=1),
        HeadLayer(64, 11, 15, pool=5, ways=5),
    )


@pytest.mark.parametrize("downsampling", ["pooled", "strided"])
def test_each_block_halves_the_map(downsampling):
    space = ResNet12Space(input_shape=(3, 84, 84), ways=5, downsampling=downsampling)
    *layers, head = space.layers(space.largest())
    adds = [layer.output_shape for layer in layers if isinstance(layer, AddLayer)]
    assert adds == [(64, 42, 42), (128, 21, 21), (256, 11, 11), (512, 6, 6)]
    assert head == HeadLayer(512, 6, 6, pool=5, ways=5)


def test_strided_is_cheaper_than_pooled(space):
    strided = ResNet12Space(input_shape=(3, 84, 84), ways=5, downsampling="strided")
    genes = space.sample(50, np.random.default_rng(0))
    assert (strided.macs(genes) < space.macs(genes)).all()


def test_without_global_expansion_the_edges_of_blocks_keep_their_channels():
    space = ResNet12Space(input_shape=(1, 28, 28), ways=5, global_expansion=False)
    assert space.layer_channels[2::3] == ((32,), (64,), (128,), (256,))
    assert all(len(channels) == 6 for channels in space.layer_channels[::3])
    assert space.parse("k3c8relu-k3c16relu-k3c32relu")
    with pytest.raises(ArchitectureError, match="channels 64"):
        space.parse("k3c8relu-k3c16relu-k3c64relu")


@pytest.mark.parametrize("layers", [1, 2, 4, 11, 13])
def test_refuses_an_unfinished_block(space, layers):
    largest = space.largest().layers
    text = str(ConvArchitecture((largest * 2)[:layers]))
    with pytest.raises(ArchitectureError, match=f"number of layers {layers}"):
        space.parse(text)


def test_refuses_channels_of_another_block(space):
    assert space.parse("-".join([BLOCK, "k3c112relu-k3c16relu-k3c128relu"]))
    with pytest.raises(ArchitectureError, match="channels 8"):
        space.parse("-".join([BLOCK, "k3c8relu-k3c16relu-k3c128relu"]))


@pytest.mark.parametrize("downsampling", ["pooled", "strided"])
def test_a_network_computes_what_a_plain_one_does(downsampling):
    """Against the formula of a residual block, written out for one task."""
    space = ResNet12Space(input_shape=(3, 9, 8), ways=3, downsampling=downsampling)
    architecture = space.parse("-".join([BLOCK, "k3c16selu-k1c16relu6-k3c32leakyrelu"]))
    network = space.network(architecture)
    adapted, norms = random_weights(network, tasks=1)
    images = random_images(space, tasks=1, count=6)
    own = {name: tensor[0] for name, tensor in adapted.items()}
    stride = 2 if downsampling == "strided" else 1

    def convolve(name, x, stride=1):
        weight = own[f"{name}.weight"]
        x = F.conv2d(x, weight, own[f"{name}.bias"], stride, padding=weight.shape[-1] // 2)
        scale, shift = norms[f"{name}.scale"], norms[f"{name}.shift"]
        return F.batch_norm(x, None, None, scale, shift, training=True)

    def block(name, x, activations):
        first, second, third = activations
        y = first(convolve(f"{name}.conv0", x, stride))
        y = convolve(f"{name}.conv2", second(convolve(f"{name}.conv1", y)))
        y = third(y + convolve(f"{name}.shortcut", x, stride))
        return F.max_pool2d(y, 2, ceil_mode=True) if downsampling == "pooled" else y

    x = block("block0", images[0], (F.relu, F.elu, torch.sigmoid))
    x = block("block1", x, (F.selu, F.relu6, F.leaky_relu))
    x = F.avg_pool2d(x, (x.shape[2], x.shape[3]))  # a map of 3x2 is smaller than 5x5
    expected = F.linear(x.flatten(1), own["head2.weight"].flatten(1), own["head2.bias"])
    torch.testing.assert_close(network(adapted, norms, images)[0], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_the_cheapest_block_is_the_least_of_all(seed):
    """Every one of the architectures of one block, without global expansion."""
    space = ResNet12Space(input_shape=(1, 4, 4), ways=2, global_expansion=False)
    costs = np.random.default_rng(seed).normal(size=len(space.all_layers))
    by_layer = np.array(list(product(range(3), range(6), range(6))))
    one, two = (np.repeat(by_layer, 108, axis=0), np.tile(by_layer, (108, 1)))
    least = np.inf
    for kernel, activation in product(range(3), range(6)):
        genes = np.zeros((108 * 108, len(space.cardinalities)), np.int64)
        genes[:, 1:4], genes[:, 4:7] = one, two
        genes[:, 7], genes[:, 9] = kernel, activation
        least = min(least, space.sum_over_layers(genes, costs).min())
    deep = costs.copy()
    for index, layer in enumerate(space.all_layers):
        if layer.op == "head" and layer.in_channels != 32:
            deep[index] = 1e6  # so that one block is cheapest
    assert space.sum_over_layers(space.encode([space.cheapest(deep)]), costs)[0] == pytest.approx(
        least
    )


def test_a_residual_network_refuses_layers_that_are_not_blocks(space):
    *block, head = space.layers(space.parse(BLOCK))
    for layers in (
        [*block[:-1], head],
        block,
        [*block[:1], *block[-1:], head],
        [head, *block, head],
    ):
        with pytest.raises(TypeError, match="residual"):
            ResidualNetwork(layers)


def test_is_made_by_name():
    space = make_space("resnet12", input_shape=(3, 32, 32), ways=2, downsampling="strided")
    assert space.settings["space"] == "resnet12"
    with pytest.raises(ArchitectureError, match="halved"):
        make_space("resnet12", input_shape=(1, 28, 28), ways=5, downsampling="halved")


def test_int8_is_said_in_every_layer():
    space = ResNet12Space(input_shape=(1, 28, 28), ways=5, dtype="int8")
    assert dtypes_of(space.all_layers) == {"int8"}
