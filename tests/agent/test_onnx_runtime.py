import hashlib

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch.nn import functional as F

from metanas.spaces.activations import ACTIVATION_FUNCTIONS
from metanas_agent.errors import MeasurementFailedError, RuntimeUnavailableError
from metanas_agent.layers import ACTIVATIONS, ConvLayer, EmptyLayer, HeadLayer
from metanas_agent.runtimes import RUNTIMES, load_runtime, runtime
from metanas_agent.runtimes.onnx_graph import layer_model, random_image
from metanas_agent.wire import Tensor

LAYERS = [
    *(ConvLayer(3, 7, 6, out_channels=5, kernel=3, activation=a, pool=2) for a in ACTIVATIONS),
    ConvLayer(1, 28, 28, out_channels=16, kernel=5, stride=2, activation="none"),
    ConvLayer(4, 1, 1, out_channels=4, kernel=5, pool=2),
    ConvLayer(2, 5, 9, out_channels=3, kernel=1, stride=3, pool=3),
    HeadLayer(6, 11, 11, pool=5, ways=20),
    HeadLayer(6, 7, 9, pool=1, ways=5),
    HeadLayer(6, 1, 1, pool=1, ways=5),
    EmptyLayer(2, 3, 4),
]


@pytest.fixture(scope="module")
def onnxruntime():
    return load_runtime("onnx")


def run(loaded, images):
    inputs = Tensor(images.astype("<f4").tobytes(), images.shape)
    outputs = loaded.run(inputs)
    return np.frombuffer(outputs.data, "<f4").reshape(outputs.shape)


def in_torch(layer, model, image):
    """The layer as the host's networks compute it, with the model's own constants."""
    weights, bias = (
        torch.from_numpy(numpy_helper.to_array(constant).copy())
        for constant in model.graph.initializer[:2]
    )
    x = torch.from_numpy(image)
    if isinstance(layer, ConvLayer):
        x = F.conv2d(x, weights, bias, stride=layer.stride, padding=layer.kernel // 2)
        x = ACTIVATION_FUNCTIONS[layer.activation](x)
        return F.max_pool2d(x, layer.pool, ceil_mode=True)
    x = F.avg_pool2d(x, layer.pool_window, layer.pool_stride)
    return F.linear(x.flatten(1), weights, bias)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_a_layer_computes_what_the_host_means_by_it(onnxruntime, layer):
    rng = np.random.default_rng(0)
    model = layer_model(layer, rng)
    onnx.checker.check_model(model, full_check=True)
    image = random_image(layer, rng)
    output = run(onnxruntime.load(model.SerializeToString()), image)
    assert output.shape == (1, *layer.output_shape)
    expected = image if isinstance(layer, EmptyLayer) else in_torch(layer, model, image)
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


def test_weights_keep_the_magnitude_of_values():
    layer = ConvLayer(144, 14, 14, out_channels=144, kernel=5, activation="none")
    rng = np.random.default_rng(0)
    model, image = layer_model(layer, rng), random_image(layer, rng)
    values = in_torch(layer, model, image)
    assert 0.3 < values.std() < 3
    assert values.abs().min() > torch.finfo(torch.float32).tiny


def test_the_seed_decides_the_weights():
    layer = LAYERS[0]
    models = [layer_model(layer, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert models[0] == models[1]
    assert models[0] != models[2]


@pytest.mark.parametrize("layer", LAYERS[-4:], ids=str)
def test_a_prepared_layer_can_be_called_again_and_again(onnxruntime, layer):
    sampler = onnxruntime.prepare(layer, seed=0)
    for repeats in (1, 3, 3):
        assert sampler(repeats) > 0


def network(batch):
    """A small torch network as ONNX, its batch size fixed or free."""
    torch.manual_seed(0)
    conv, linear = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4 * 6 * 6, 5)
    make = onnx.helper
    shapes = [make.make_tensor_value_info("x", 1, [batch, 3, 8, 8])]
    results = [make.make_tensor_value_info("y", 1, [batch, 5])]
    nodes = [
        make.make_node("Conv", ["x", "w", "b"], ["c"]),
        make.make_node("Flatten", ["c"], ["f"]),
        make.make_node("Gemm", ["f", "v", "d"], ["y"], transB=1),
    ]
    constants = [
        numpy_helper.from_array(tensor.detach().numpy(), name)
        for name, tensor in zip("wbvd", (*conv.parameters(), *linear.parameters()), strict=True)
    ]
    graph = make.make_graph(nodes, "net", shapes, results, constants)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=9)
    return model.SerializeToString(), torch.nn.Sequential(conv, torch.nn.Flatten(), linear)


@pytest.mark.parametrize("batch", [1, "N"])
def test_a_model_sees_one_image_at_a_time(onnxruntime, batch):
    model, module = network(batch)
    images = np.random.default_rng(0).standard_normal((6, 3, 8, 8), np.float32)
    outputs = run(onnxruntime.load(model), images)
    expected = module(torch.from_numpy(images)).detach().numpy()
    assert outputs.shape == (6, 5)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 3, 8, 9), (2, 1, 8, 8), (3, 8, 8), (1, 2, 3, 8, 8)])
def test_images_that_do_not_fit_are_refused(onnxruntime, shape):
    model, _ = network("N")
    with pytest.raises(MeasurementFailedError, match="the model takes"):
        run(onnxruntime.load(model), np.zeros(shape, np.float32))


def test_a_model_of_several_inputs_is_refused(onnxruntime):
    make = onnx.helper
    values = [make.make_tensor_value_info(name, 1, [1, 1, 1, 1]) for name in "xyz"]
    graph = make.make_graph([make.make_node("Add", ["x", "y"], ["z"])], "g", values[:2], values[2:])
    opsets = [make.make_opsetid("", 18)]
    model = make.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    with pytest.raises(MeasurementFailedError, match="one float32 image"):
        run(onnxruntime.load(model), np.zeros((1, 1, 1, 1), np.float32))


@pytest.mark.parametrize("model", [b"", b"garbage", hashlib.sha256(b"").digest() * 100])
def test_what_is_no_model_is_refused(onnxruntime, model):
    with pytest.raises(MeasurementFailedError, match="cannot load the model"):
        onnxruntime.load(model)


def test_a_model_that_is_too_new_for_the_runtime_is_refused_with_the_reason(onnxruntime):
    proto = onnx.load_model_from_string(network("N")[0])
    proto.ir_version = 99
    reason = "Unsupported model IR version: 99, max supported IR version"
    with pytest.raises(MeasurementFailedError, match=reason) as raised:
        onnxruntime.load(proto.SerializeToString())
    assert "metanas export RUN --device NAME" in raised.value.hint


def test_a_runtime_that_is_not_installed_is_unavailable(monkeypatch):
    monkeypatch.setitem(runtime.RUNTIMES, "absent", "metanas_no_such_module:Runtime")
    with pytest.raises(RuntimeUnavailableError, match="runtime unavailable: absent"):
        load_runtime("absent")
    with pytest.raises(RuntimeUnavailableError, match="unknown runtime 'none'"):
        load_runtime("none")


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_runtime_loads(name):
    assert load_runtime(name).version
