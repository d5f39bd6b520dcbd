"""Layers on plain maps, forwards and backwards, against torch's autograd in double precision."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from metanas.deploy.adaptation_graph import export_adaptation_graphs
from metanas.deploy.adaptation_graph.agreement import (
    difference,
    learned_by_torch,
    one_threaded,
    run_adaptation,
)
from metanas.deploy.adaptation_graph.gathered import GatheredLayers
from metanas.deploy.adaptation_graph.inner_loop import layers_for
from metanas.deploy.adaptation_graph.learner import Learner
from metanas.deploy.adaptation_graph.plain import PlainLayers
from metanas.deploy.adaptation_graph.structure import Concat, Crop, Node
from metanas.deploy.adaptation_graph.traced_network import trace_network
from metanas.deploy.adaptation_graph.writer import GraphWriter
from metanas.deploy.opset import OPSET, convert_opset
from support.learning_networks import learning_network, random_support
from support.random_networks import make_card

IMAGES_PER_CALL = 3
CHANNELS = 4
CELL = "skip@0+conv3x3@1,skip@0+dilconv3x3@2,maxpool3x3@1+skip@3"
RESIDUAL = "k3c8relu-k1c16elu-k5c8selu"
SIDES = [(8, 8), (7, 5), (6, 9), (1, 4)]
DILATED = {"kernel_size": 3, "padding": 2, "groups": CHANNELS, "dilation": 2}
CONVOLUTIONS = {
    "conv3x3": {"kernel_size": 3, "padding": 1},
    "conv1x1": {"kernel_size": 1},
    "conv1x1 stride 2": {"kernel_size": 1, "stride": 2},
    "conv1x5": {"kernel_size": (1, 5), "padding": (0, 2)},
    "conv5x1": {"kernel_size": (5, 1), "padding": (2, 0)},
    "conv1x5 stride 2": {"kernel_size": (1, 5), "padding": (0, 2), "stride": 2},
    "conv3x3 stride 2": {"kernel_size": 3, "padding": 1, "stride": 2},
    "depthwise": {"kernel_size": 3, "padding": 1, "groups": CHANNELS},
    "depthwise stride 2": {"kernel_size": 3, "padding": 1, "groups": CHANNELS, "stride": 2},
    "dilated": DILATED,
    "dilated stride 2": DILATED | {"stride": 2},
}


def random_map(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def node_of(layer, x, y):
    return Node("y", ("x",), layer, "layer", "", slice(0), tuple(x.shape[1:]), tuple(y.shape[1:]))


def computed(node, inputs, gradient, tensors=None, rates=None):
    """The output, the inputs' gradients, and what the tensors became, by name."""
    writer = GraphWriter()
    names = [f"x{number}" for number in range(len(inputs))]
    learner = Learner(writer, {n: writer.constant(t.numpy()) for n, t in (tensors or {}).items()})
    taped = PlainLayers(writer).tape(node, names, learner)
    learner.rates = rates or {}
    found = {"y": taped.output}
    found |= {f"at {n}": v for n, v in zip(names, taped.backward("g"), strict=True)}
    found |= learner.learned
    for name, value in found.items():
        writer.name(value, name)
    given = {**dict(zip(names, inputs, strict=True)), "g": gradient}
    shapes = {name: ["images", *tensor.shape[1:]] for name, tensor in given.items()}
    model = convert_opset(writer.model(shapes, dict.fromkeys(found)), OPSET)
    session = one_threaded(model.SerializeToString())
    values = session.run(list(found), {n: t.numpy().astype(np.float32) for n, t in given.items()})
    return dict(zip(found, values, strict=True))


def assert_near(given, expected):
    np.testing.assert_allclose(given, expected.detach().numpy(), atol=2e-5)


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_a_convolution_without_batch_norm(kind, sides):
    filters = CHANNELS if "groups" in CONVOLUTIONS[kind] else 6
    layer = nn.Conv2d(CHANNELS, filters, bias=False, **CONVOLUTIONS[kind]).double()
    x = random_map(IMAGES_PER_CALL, CHANNELS, *sides).requires_grad_()
    y = layer(x)
    gradient = random_map(*y.shape, seed=1)
    at_x, at_weight = torch.autograd.grad(y, [x, layer.weight], gradient)
    weight, rate = layer.weight.detach(), 0.5
    name = "layer.weight"
    found = computed(
        node_of(layer, x, y), [x.detach()], gradient, tensors={name: weight}, rates={name: rate}
    )
    assert_near(found["y"], y)
    assert_near(found["at x0"], at_x)
    assert_near(found[name], weight - rate * at_weight)


@pytest.mark.parametrize("kind", ["conv3x3 stride 2", "dilated"])
def test_a_convolution_with_batch_norm(kind):
    layer = nn.Conv2d(CHANNELS, CHANNELS, bias=False, **CONVOLUTIONS[kind]).double()
    norm = nn.BatchNorm2d(CHANNELS).double()
    x = random_map(IMAGES_PER_CALL, CHANNELS, 6, 9).requires_grad_()
    tensors = {
        "weight": layer.weight.detach(),
        "scale": 1 + random_map(CHANNELS, seed=2) / 5,
        "shift": random_map(CHANNELS, seed=3),
    }
    norm.weight.data, norm.bias.data = tensors["scale"], tensors["shift"]
    y = norm(layer(x))
    gradient = random_map(*y.shape, seed=1)
    at_x, *at_tensors = torch.autograd.grad(y, [x, layer.weight, norm.weight, norm.bias], gradient)
    rates = dict(zip((f"layer.{part}" for part in tensors), (0.1, 0.2, 0.3), strict=True))
    found = computed(
        node_of(layer, x, y),
        [x.detach()],
        gradient,
        tensors={f"layer.{part}": tensor for part, tensor in tensors.items()},
        rates=rates,
    )
    assert_near(found["y"], y)
    assert_near(found["at x0"], at_x)
    for (part, tensor), at_tensor in zip(tensors.items(), at_tensors, strict=True):
        assert_near(found[f"layer.{part}"], tensor - rates[f"layer.{part}"] * at_tensor)


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    "layer",
    [
        lambda stride: nn.MaxPool2d(3, stride, 1),
        lambda stride: nn.AvgPool2d(3, stride, 1, count_include_pad=False),
    ],
)
def test_pooling(layer, stride, sides):
    layer = layer(stride)
    x = random_map(IMAGES_PER_CALL, CHANNELS, *sides)
    x[0] = x[0].round()  # many level pixels, zeros among them
    x[1] = -x[1].abs()  # less than the padding
    x.requires_grad_()
    y = layer(x)
    gradient = random_map(*y.shape, seed=1)
    (at_x,) = torch.autograd.grad(y, x, gradient)
    found = computed(node_of(layer, x, y), [x.detach()], gradient)
    assert_near(found["y"], y)
    assert_near(found["at x0"], at_x)


def test_the_mean_of_a_whole_map():
    layer = nn.AvgPool2d((7, 5))
    x = random_map(IMAGES_PER_CALL, CHANNELS, 7, 5).requires_grad_()
    y = layer(x)
    (at_x,) = torch.autograd.grad(y.sum(), x)
    found = computed(node_of(layer, x, y), [x.detach()], torch.ones_like(y))
    assert_near(found["y"], y)
    assert_near(found["at x0"], at_x)


@pytest.mark.parametrize("layer", [nn.Flatten(), Crop(1, 1), Crop(0, 1), Crop(0, 0)])
def test_what_moves_pixels(layer):
    x = random_map(IMAGES_PER_CALL, CHANNELS, 6, 5).requires_grad_()
    y = x[..., layer.rows :, layer.columns :] if isinstance(layer, Crop) else layer(x)
    gradient = random_map(*y.shape, seed=1)
    (at_x,) = torch.autograd.grad(y, x, gradient)
    found = computed(node_of(layer, x, y), [x.detach()], gradient)
    assert_near(found["y"], y)
    assert_near(found["at x0"], at_x)


def test_maps_of_other_numbers_of_channels_are_joined():
    maps = [random_map(IMAGES_PER_CALL, channels, 4, 5, seed=channels) for channels in (2, 3, 1)]
    y = torch.cat(maps, dim=1)
    gradient = random_map(*y.shape, seed=1)
    found = computed(node_of(Concat((2, 3, 1)), maps[0], y), maps, gradient)
    assert_near(found["y"], y)
    for number, expected in enumerate(gradient.split([2, 3, 1], dim=1)):
        assert_near(found[f"at x{number}"], expected)


def test_the_halves_of_a_strided_skip_share_the_filters_of_one_layer():
    cell = "skip@0+skip@1,skip@0+skip@2,skip@1+skip@3"
    network, _ = learning_network(
        *("cells", f"{cell}:{cell}"), input_shape=(1, 8, 7), settings={"channels": 5, "cells": 2}
    )
    traced = trace_network(network, (1, 8, 7))
    halves = [node for node in traced.nodes if node.parameters == "cell1.edge0to2.skip.conv"]
    assert [node.filters for node in halves] == [slice(0, 2), slice(2, 5)]
    crops = [node.layer for node in traced.nodes if isinstance(node.layer, Crop)]
    assert set(crops) == {Crop(1, 0)}
    assert {name for name in traced.shapes if name.endswith("weight")} == {
        f"{node.weights}.weight" for node in traced.nodes if node.parameters
    }


@pytest.mark.parametrize(
    ("space", "text", "layers"),
    [
        ("vgg9", "k3c16relu-k5c16elu", GatheredLayers),
        ("resnet12", "k3c8relu-k1c16elu-k5c8selu", GatheredLayers),
        ("cells", f"{CELL}:{CELL}", PlainLayers),
    ],
)
def test_a_network_is_gathered_where_all_of_its_layers_can_be(space, text, layers):
    network, _ = learning_network(space, text, input_shape=(1, 14, 14))
    nodes = trace_network(network, (1, 14, 14)).nodes
    assert type(layers_for(GraphWriter(), nodes)) is layers


@pytest.mark.parametrize(
    ("space", "text"), [("vgg9", "k3c16relu-k5c16elu-k1c32selu"), ("resnet12", RESIDUAL)]
)
def test_plain_layers_learn_what_gathered_ones_do(monkeypatch, space, text):
    shape, settings = (3, 13, 12), {"downsampling": "strided"}
    network, parameters = learning_network(space, text, input_shape=shape, settings=settings)
    monkeypatch.setattr(GatheredLayers, "know", lambda _: False)
    plain = export_adaptation_graphs(
        network, parameters, input_shape=shape, metadata=make_card(channels=3)
    )
    images, labels = random_support(shape, seed=1)
    exact = learned_by_torch(network, parameters, images, labels, torch.float64)
    assert difference(run_adaptation(plain.adaptation, images, labels), exact) < 5e-5
    operators = {node.op_type for node in onnx.load_from_string(plain.adaptation).graph.node}
    assert "ConvTranspose" in operators
