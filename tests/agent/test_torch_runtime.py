"""The runtime `torch`, held against ONNX Runtime."""

from itertools import count

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from metanas_agent.errors import MeasurementFailedError, RuntimeUnavailableError
from metanas_agent.layers import (
    ACTIVATIONS,
    OPERATIONS,
    AddLayer,
    ConcatLayer,
    ConvLayer,
    EmptyLayer,
    HeadLayer,
    OperationLayer,
)
from metanas_agent.runtimes import Setup, load_runtime
from metanas_agent.runtimes.onnx_graph import layer_model, random_image
from metanas_agent.runtimes.onnx_in_torch import TorchGraph
from metanas_agent.runtimes.torch import warm_up
from metanas_agent.wire import Tensor

LAYERS = [
    *(ConvLayer(3, 7, 6, out_channels=5, kernel=3, activation=a, pool=2) for a in ACTIVATIONS),
    ConvLayer(1, 28, 28, out_channels=16, kernel=5, stride=2, activation="none"),
    ConvLayer(2, 5, 9, out_channels=3, kernel=1, stride=3, pool=3),
    AddLayer(4, 5, 5, activation="leakyrelu", pool=2),
    HeadLayer(6, 11, 11, pool=5, ways=20),
    HeadLayer(6, 7, 9, pool=1, ways=5),
    EmptyLayer(2, 3, 4),
    ConcatLayer(4, 5, 6, maps=3),
    *(
        OperationLayer(6, height, 8, out_channels=6, operation=name, stride=stride)
        for name in OPERATIONS
        for height, stride in ((7, 1), (7, 2), (8, 2))
        if (name, stride) != ("halves1x1", 1)
    ),
]
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=CUDA)])
def accelerator(request, one_thread):
    return request.param


@pytest.fixture
def runtime(accelerator):
    return load_runtime("torch", Setup(accelerator=accelerator))


def run(loaded, images):
    outputs = loaded.run(tensor(images))
    return np.frombuffer(outputs.data, "<f4").reshape(outputs.shape)


def tensor(images):
    return Tensor(images.astype("<f4").tobytes(), images.shape)


def model(nodes, shape=(1, 3, 8, 8), *, constants=(), inputs=("x",)):
    """Nodes from `x` to `y` as an ONNX file."""
    rank = 2 if nodes[-1].op_type == "Gemm" else 4
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("a", "b", "c", "d")[:rank])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("other", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_a_layer_computes_what_onnxruntime_does(runtime, layer):
    rng = np.random.default_rng(0)
    graph = layer_model(layer, rng).SerializeToString()
    image = random_image(layer, rng)
    expected = run(load_runtime("onnx").load(graph), image)
    assert expected.shape == (1, *layer.output_shape)
    np.testing.assert_allclose(run(runtime.load(graph), image), expected, rtol=1e-4, atol=1e-5)
    sampler = runtime.prepare(layer, seed=0)
    assert min(sampler(repeats) for repeats in (1, 3, 3)) > 0


def test_an_exported_network_computes_what_onnxruntime_does(runtime):
    """As torch's exporter writes it: free batch, scalar bounds, reshape."""
    w = np.random.default_rng(1).standard_normal((4, 3, 3, 3), np.float32)
    v = np.random.default_rng(2).standard_normal((5, 36), np.float32)
    pads = {"pads": [1, 1, 1, 1], "auto_pad": "NOTSET", "dilations": [1, 1], "group": 1}
    pooling = {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [0, 0, 0, 0]}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], strides=[2, 2], **pads),
        helper.make_node("Clip", ["a", "low", "high"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("AveragePool", ["c"], ["d"], count_include_pad=1, **pooling),
        helper.make_node("Reshape", ["d", "flat"], ["e"], allowzero=1),
        helper.make_node("Gemm", ["e", "v", "bias"], ["y"], transB=1, alpha=1.0, beta=1.0),
    ]
    constants = [
        *(("w", w), ("v", v), ("bias", v[:, 0])),
        *(("low", np.float32(0)), ("high", np.float32(6)), ("flat", np.array([-1, 36]))),
    ]
    exported = model(nodes, ("batch", 3, 8, 8), constants=constants)
    onnx.checker.check_model(exported)
    images = np.random.default_rng(0).standard_normal((3, 3, 8, 8), np.float32)
    expected = run(load_runtime("onnx").load(exported), images)
    loaded = runtime.load(exported)
    np.testing.assert_allclose(run(loaded, images), expected, rtol=1e-4, atol=1e-5)
    assert loaded.prepare(tensor(images))(2) > 0


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (helper.make_node("Tanh", ["x"], ["y"]), "the operator Tanh"),
        (helper.make_node("Relu", ["x"], ["y"], domain="other"), "the operator Relu"),
        (
            helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], pads=[0, 0, 1, 1]),
            "padding that is not the same",
        ),
        (
            helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], auto_pad="SAME_UPPER"),
            "padding that is not the same",
        ),
        (
            helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], dilations=[2, 2]),
            "dilated pooling",
        ),
        (helper.make_node("Gemm", ["x", "x"], ["y"], transA=1), "Gemm of matrices"),
        (helper.make_node("Gemm", ["x", "x"], ["y"], transB=1, alpha=0.5), "scaled Gemm"),
    ],
)
def test_what_torch_is_not_taught_is_said(runtime, node, words):
    with pytest.raises(MeasurementFailedError, match=words) as failure:
        runtime.load(model([node]))
    assert "runtime onnx" in failure.value.hint


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x00" * 100])
def test_what_is_no_model_is_refused(runtime, content):
    with pytest.raises(MeasurementFailedError, match="cannot load the model"):
        runtime.load(content)


def test_a_model_must_take_one_image(runtime):
    nodes = [helper.make_node("Add", ["x", "z"], ["y"])]
    with pytest.raises(MeasurementFailedError, match="takes x, z"):
        runtime.load(model(nodes, inputs=("x", "z")))
    loaded = runtime.load(model([helper.make_node("Relu", ["x"], ["y"])]))
    with pytest.raises(MeasurementFailedError, match=r"takes \[1, 3, 8, 8\]"):
        run(loaded, np.zeros((1, 3, 8, 9), np.float32))


def test_a_sampler_keeps_no_graph_for_gradients(runtime):
    assert torch.is_grad_enabled()
    runtime.prepare(LAYERS[0], seed=0)(1)
    assert torch.is_grad_enabled()


def test_a_batch_is_one_call(accelerator, runtime, monkeypatch):
    """The graph sees as many images as were asked for, and the version tells batches apart."""
    given = []
    compute = TorchGraph.__call__
    monkeypatch.setattr(TorchGraph, "__call__", lambda *a: given.append(len(a[1])) or compute(*a))
    batched = load_runtime("torch", Setup(accelerator=accelerator, batch=8))
    assert batched.version == f"{runtime.version} batch 8"
    for layer in (LAYERS[0], AddLayer(4, 5, 5), HeadLayer(6, 11, 11, pool=5, ways=20)):
        batched.prepare(layer, seed=0)(1)
    loaded = batched.load(model([helper.make_node("Relu", ["x"], ["y"])]))
    images = np.zeros((3, 3, 8, 8), np.float32)
    loaded.prepare(tensor(images))(1)
    assert given == [8] * 4
    assert run(loaded, images).shape == (3, 3, 8, 8)
    assert given[4:] == [1] * 3  # accuracy is that of single images


@pytest.mark.parametrize("name", ["onnx", "native"])
def test_only_torch_knows_batches(name):
    with pytest.raises(RuntimeUnavailableError, match="one image at a time on the CPU, not 2 on"):
        load_runtime(name, Setup(batch=2))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_cuda_device_is_said(one_thread):
    with pytest.raises(RuntimeUnavailableError, match="there is no CUDA device"):
        load_runtime("torch", Setup(accelerator="cuda"))


@CUDA
def test_a_cuda_device_is_named_in_the_version():
    runtime = load_runtime("torch", Setup(accelerator="cuda"))
    assert runtime.version == f"{torch.__version__} {torch.cuda.get_device_name()}"


def test_warming_up_ends_when_the_clock_has_settled():
    times = [*(20.0 - i for i in range(15)), 5.0, 5.01, 5.02, 5.0, 5.0, *[4.0] * 5]
    left = iter(times)
    warm_up(lambda _: next(left), clock_s=lambda: 0.0)
    assert list(left) == [4.0] * 5


def test_warming_up_ends_even_if_the_clock_never_settles():
    seconds = count()
    samples = []
    warm_up(lambda _: samples.append(len(samples) % 2 + 1) or samples[-1], clock_s=seconds.__next__)
    assert 2 <= len(samples) <= 10
