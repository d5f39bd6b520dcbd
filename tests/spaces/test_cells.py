from itertools import product

import numpy as np
import pytest
import torch

from metanas.errors import ArchitectureError
from metanas.spaces import CellsSpace, make_space
from metanas.spaces.cells import CELL_OPERATIONS
from metanas_agent.layers import AddLayer, ConcatLayer, HeadLayer, OperationLayer
from support.plain_cells import plain_cells
from support.space_conformance import (
    SpaceConformance,
    folded,
    most_live_bytes,
    random_images,
    random_weights,
)

SKIPS = "skip@0+skip@1,skip@0+skip@1,skip@0+skip@1"
EVERYTHING = (
    "conv1x5-5x1@0+skip@1,maxpool3x3@0+sepconv3x3@2,avgpool3x3@1+dilconv3x3@3"
    ":skip@0+conv3x3@1,sepconv3x3@0+conv1x5-5x1@1,dilconv3x3@0+skip@2"
)
POOLS = (
    "maxpool3x3@0+dilconv3x3@1,conv3x3@1+conv1x5-5x1@2,skip@2+sepconv3x3@3"
    ":maxpool3x3@0+avgpool3x3@1,maxpool3x3@1+avgpool3x3@2,skip@1+conv3x3@3"
)


class TestCells(SpaceConformance):
    @pytest.fixture
    def space(self):
        return CellsSpace(input_shape=(1, 12, 12), ways=5, channels=4)


class TestFiveCellsOfOddColourImages(SpaceConformance):
    @pytest.fixture
    def space(self):
        return CellsSpace(input_shape=(3, 11, 14), ways=3, channels=5, cells=5)


@pytest.fixture
def space():
    return CellsSpace(input_shape=(1, 28, 28), ways=20)


def test_has_the_papers_choices(space):
    """Section 5.1: seven operations, three nodes; every second of four cells halves the map."""
    assert len(CELL_OPERATIONS) == 7
    assert np.prod(space.cardinalities, dtype=float) == (3 * 6 * 7.0**6) ** 2
    sides = [layer.height for layer in space.layers(space.largest()) if layer.op == "concat"]
    assert sides == [28, 14, 14, 7]


def test_is_as_large_as_the_papers_networks(space):
    """Section 5.1: "models in the regime of 100,000 parameters", 108k of them on Omniglot."""
    params = space.params(space.sample(2000, np.random.default_rng(0)))
    assert 70e3 < params.mean() < 130e3
    assert (params < 108e3).any()
    assert (params > 108e3).any()


def test_layers_of_two_cells():
    space = CellsSpace(input_shape=(1, 28, 28), ways=5, channels=16, cells=2)

    def operation(name, in_channels, side, *, out_channels=16, stride=1):
        return OperationLayer(
            *(in_channels, side, side),
            out_channels=out_channels,
            operation=name,
            stride=stride,
        )

    inputs = operation("conv1x1", 48, 28)
    assert space.layers(space.parse(EVERYTHING)) == (
        operation("stem3x3", 1, 28, out_channels=48),
        *(inputs, inputs),
        *(operation("conv1x5-5x1", 16, 28), AddLayer(16, 28, 28, activation="none")),
        *(operation("maxpool3x3", 16, 28), operation("sepconv3x3", 16, 28)),
        AddLayer(16, 28, 28, activation="none"),
        *(operation("avgpool3x3", 16, 28), operation("dilconv3x3", 16, 28)),
        *(AddLayer(16, 28, 28, activation="none"), ConcatLayer(16, 28, 28, maps=3)),
        *(inputs, inputs),
        *(operation("halves1x1", 16, 28, stride=2), operation("conv3x3", 16, 28, stride=2)),
        AddLayer(16, 14, 14, activation="none"),
        *(operation("sepconv3x3", 16, 28, stride=2), operation("conv1x5-5x1", 16, 28, stride=2)),
        AddLayer(16, 14, 14, activation="none"),
        *(operation("dilconv3x3", 16, 28, stride=2), AddLayer(16, 14, 14, activation="none")),
        *(ConcatLayer(16, 14, 14, maps=3), HeadLayer(48, 14, 14, pool=1, ways=5)),
    )


def test_a_cell_behind_a_reduction_halves_the_map_before_it(space):
    layers = space.layers(space.parse(f"{SKIPS}:{SKIPS}"))
    halved = [layer for layer in layers if layer.op == "operation" and layer.in_channels == 84]
    assert [(layer.operation, layer.height) for layer in halved] == [
        *[("conv1x1", 28)] * 4,
        *[("halves1x1", 28), ("conv1x1", 14)],
        *[("conv1x1", 14)] * 2,
    ]


@pytest.mark.parametrize(
    "text",
    [
        SKIPS,
        f"{SKIPS}:{SKIPS}:{SKIPS}",
        f"{SKIPS}:{SKIPS},skip@0+skip@1",
        f"{SKIPS}:skip@0+skip@1,skip@0+skip@1",
        f"{SKIPS}:skip@0+skip@1,skip@0+skip@1,skip@0+skip@4",
        f"{SKIPS}:skip@0+skip@1,skip@0+skip@1,skip@1+skip@0",
        f"{SKIPS}:skip@0+skip@1,skip@0+skip@1,skip@1+skip@1",
        f"{SKIPS}:skip@0+skip@1,skip@0+skip@1,skip@1",
        f"{SKIPS}:skip@0+skip@1,skip@0+skip@1,skip@0+conv5x5@1",
        f"{SKIPS}:skip@0+skip@1,skip@0+skip@1,skip@0+skip@١",  # noqa: RUF001 - an Arabic digit
        "k3c64relu-k5c16elu",
    ],
)
def test_refuses_what_is_no_pair_of_cells(space, text):
    with pytest.raises(ArchitectureError, match="cells"):
        space.parse(text)


@pytest.mark.parametrize(("setting", "value"), [("channels", 3), ("cells", 1)])
def test_refuses_too_little(setting, value):
    with pytest.raises(ArchitectureError, match=f"{setting} is {value}"):
        CellsSpace(input_shape=(1, 28, 28), ways=5, **{setting: value})


def test_is_made_by_name_whatever_switches_other_spaces_have():
    usual = {"downsampling": "pooled", "pool": 5, "global_expansion": True, "dtype": "float32"}
    space = make_space("cells", input_shape=(1, 28, 28), ways=5, channels=8, **usual)
    assert space.settings == {
        "space": "cells",
        "input": "1x28x28",
        "ways": 5,
        "channels": 8,
        "cells": 4,
    }


@pytest.mark.parametrize(("switch", "value"), [("downsampling", "strided"), ("dtype", "int8")])
def test_refuses_another_spaces_switch(switch, value):
    with pytest.raises(ArchitectureError, match=f"the space cells has no {switch} {value}"):
        make_space("cells", input_shape=(1, 28, 28), ways=5, **{switch: value})


def test_no_architecture_needs_more_memory_at_one_moment():
    """The peak that is said to be the same of all, in networks as they are built."""
    for sides, cells in product(((8, 8), (5, 6), (2, 2)), (2, 3)):
        space = CellsSpace(input_shape=(2, *sides), ways=2, channels=4, cells=cells)
        genes = space.sample(8, np.random.default_rng(0))
        for row, peak in zip(genes, space.peak_bytes(genes), strict=True):
            module = folded(space, space.from_genes(row))
            assert most_live_bytes(module, space.input_shape) == peak


@pytest.mark.parametrize("text", [EVERYTHING, POOLS, f"{SKIPS}:{SKIPS}"])
@pytest.mark.parametrize("sides", [(8, 8), (9, 6)])
def test_computes_what_a_plain_network_does_and_so_do_its_derivatives(text, sides):
    """Logits, gradients and gradients of gradients in float64, as second-order MAML needs them."""
    space = CellsSpace(input_shape=(2, *sides), ways=3, channels=4, cells=3)
    network = space.network(space.parse(text))
    adapted, norms = (
        {name: tensor.double().requires_grad_() for name, tensor in group.items()}
        for group in random_weights(network, tasks=2)
    )
    images = random_images(space, tasks=2, count=4).double()
    logits = network(adapted, norms, images)

    def alone(task):
        weights = {name: tensor[task] for name, tensor in adapted.items()}
        return plain_cells(text, 3, weights, norms, images[task])

    expected = torch.stack([alone(task) for task in range(2)])
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)
    leaves = [*adapted.values(), *norms.values()]
    mixed = torch.linspace(-1, 1, logits.numel(), dtype=torch.float64).view(logits.shape)
    ours, theirs = (
        torch.autograd.grad((given.sin() * mixed).sum(), leaves, create_graph=True)
        for given in (logits, expected)
    )
    assert_same(ours, theirs)
    assert_same(
        *(
            torch.autograd.grad(sum(g.sin().sum() for g in given), leaves)
            for given in (ours, theirs)
        )
    )


def assert_same(ours, theirs):
    largest = max(float(gradient.detach().abs().max()) for gradient in theirs)
    assert largest > 1e-3
    for own, plain in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, plain, rtol=1e-7, atol=1e-9 * largest)
