import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from metanas_agent.layers import (
    ACTIVATIONS,
    AddLayer,
    ConcatLayer,
    ConvLayer,
    HeadLayer,
    LayerSpec,
    OperationLayer,
)
from metanas_agent.runtimes.onnx_graph import INPUT, layer_model, network_model, random_image

FUNCTIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543773 * np.expm1(x)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leakyrelu": lambda x: np.where(x > 0, x, 0.01 * x),
    "none": lambda x: x,
}


@pytest.mark.parametrize("activation", [*ACTIVATIONS, "none"])
def test_a_sum_adds_a_second_map(activation):
    rng = np.random.default_rng(0)
    layer = AddLayer(4, 6, 5, activation=activation)
    model, image = layer_model(layer, rng), random_image(layer, rng)
    onnx.checker.check_model(model, full_check=True)
    second = numpy_helper.to_array(model.graph.initializer[0])
    assert second.shape == image.shape
    assert np.abs(second).min() > np.finfo(np.float32).tiny
    (output,) = ReferenceEvaluator(model).run(None, {INPUT: image})
    np.testing.assert_allclose(output, FUNCTIONS[activation](image + second), rtol=1e-5, atol=1e-6)


def test_a_sum_is_pooled_at_its_odd_edges_too():
    rng = np.random.default_rng(0)
    layer = AddLayer(3, 5, 4, activation="none", pool=2)
    model, image = layer_model(layer, rng), random_image(layer, rng)
    (output,) = ReferenceEvaluator(model).run(None, {INPUT: image})
    total = image + numpy_helper.to_array(model.graph.initializer[0])
    padded = np.pad(total, [(0, 0), (0, 0), (0, 1), (0, 0)], constant_values=-np.inf)
    expected = padded.reshape(1, 3, 3, 2, 2, 2).max(axis=(3, 5))
    assert output.shape == (1, *layer.output_shape)
    np.testing.assert_array_equal(output, expected)


def pointwise(channels, height, width, out_channels):
    return ConvLayer(
        channels, height, width, out_channels=out_channels, kernel=1, activation="none"
    )


def test_a_network_is_its_layers_one_behind_the_other_and_shortcuts_around_them():
    layers = [
        *(pointwise(2, 4, 3, 5), pointwise(5, 4, 3, 6), pointwise(2, 4, 3, 6)),
        AddLayer(6, 4, 3, activation="none", pool=2),
        *(pointwise(6, 2, 2, 3), pointwise(6, 2, 2, 3), AddLayer(3, 2, 2, activation="relu")),
        HeadLayer(3, 2, 2, pool=1, ways=4),
    ]
    rng = np.random.default_rng(0)
    model, image = network_model(layers, rng), random_image(layers[0], rng)
    onnx.checker.check_model(model, full_check=True)
    constants = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    *convs, head = zip(constants[::2], constants[1::2], strict=True)

    def convolved(x, weights, bias):
        return np.einsum("oi,ihw->ohw", weights[:, :, 0, 0], x) + bias[:, None, None]

    (x,) = image
    x = convolved(convolved(x, *convs[0]), *convs[1]) + convolved(x, *convs[2])
    x = np.pad(x, [(0, 0), (0, 0), (0, 1)], constant_values=-np.inf)
    x = x.reshape(6, 2, 2, 2, 2).max(axis=(2, 4))
    x = np.maximum(convolved(x, *convs[3]) + convolved(x, *convs[4]), 0)
    expected = head[0] @ x.mean(axis=(1, 2)) + head[1]
    (output,) = ReferenceEvaluator(model).run(None, {INPUT: image})
    np.testing.assert_allclose(output, expected[None], rtol=1e-4, atol=1e-5)


def test_layers_read_the_maps_that_they_are_told_to():
    halves = OperationLayer(4, 6, 6, out_channels=4, operation="halves1x1", stride=2)
    pool = OperationLayer(4, 6, 6, out_channels=4, operation="maxpool3x3", stride=2)
    layers = [
        *(pointwise(2, 6, 6, 4), halves, pool, AddLayer(4, 3, 3, activation="none")),
        ConcatLayer(4, 3, 3, maps=3),
    ]
    rng = np.random.default_rng(0)
    reads = [(0,), (1,), (1,), (2, 3), (4, 2, 3)]
    model, image = network_model(layers, rng, reads), random_image(layers[0], rng)
    onnx.checker.check_model(model, full_check=True)
    first, one, other = parameters(model)
    (x,) = convolved(image, *first)
    halved = [
        convolved(np.maximum(part, 0)[None], *half)[0]
        for part, half in ((x[:, ::2, ::2], one), (x[:, 1::2, 1::2], other))
    ]
    halved = np.concatenate(halved)
    padded = np.pad(x, [(0, 0), (1, 0), (1, 0)], constant_values=-np.inf)
    windows = [padded[:, i : i + 5 : 2, j : j + 5 : 2] for i in range(3) for j in range(3)]
    pooled = np.max(windows, axis=0)
    expected = np.concatenate([halved + pooled, halved, pooled])
    (output,) = ReferenceEvaluator(model).run(None, {INPUT: image})
    np.testing.assert_allclose(output, expected[None], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("operation", "operators"),
    [
        ("conv3x3", ["Relu", "Conv", "Conv"]),
        ("maxpool3x3", ["MaxPool"]),
        ("halves1x1", ["Relu", "Slice", "Slice", *["Conv", "Conv", "Concat"] * 2]),
    ],
)
def test_what_two_layers_do_to_a_map_without_weights_is_done_once(operation, operators):
    layer = OperationLayer(4, 6, 6, out_channels=4, operation=operation, stride=2)
    layers = [pointwise(2, 6, 6, 4), layer, layer, AddLayer(4, 3, 3, activation="none")]
    model = network_model(layers, np.random.default_rng(0), [(0,), (1,), (1,), (2, 3)])
    found = [node.op_type for node in model.graph.node]
    assert sorted(found) == sorted(["Conv", *operators, "Add"])
    onnx.checker.check_model(model, full_check=True)


def parameters(model):
    """Weight and bias of each convolution."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    return [[constants[name] for name in node.input[1:]] for node in convolutions]


def convolved(images, weights, bias):
    return np.einsum("oi,nihw->nohw", weights[:, :, 0, 0], images) + bias[:, None, None]


def test_a_layer_of_an_unknown_kind_is_no_graph():
    class Other(LayerSpec):
        op = "other"
        key = output_shape = macs = params = peak_values = None

    with pytest.raises(TypeError, match="no ONNX graph for a other layer"):
        layer_model(Other(1, 1, 1), np.random.default_rng(0))
