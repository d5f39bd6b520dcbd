"""Int8 layers: what onnxruntime makes of them is what it makes of a quantised network."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metanas.deploy.quantisation import quantise
from metanas.spaces import make_space
from metanas_agent.errors import MeasurementFailedError
from metanas_agent.layers import ACTIVATIONS, AddLayer, ConvLayer, EmptyLayer, HeadLayer
from metanas_agent.runtimes import load_runtime
from metanas_agent.runtimes.onnx_graph import INPUT, OUTPUT, layer_model, network_model
from metanas_agent.runtimes.onnx_inside import cut_out
from metanas_agent.runtimes.runtime import Setup
from support.onnx_sessions import session, write_optimised

SPACES = {
    "vgg9": make_space("vgg9", input_shape=(3, 21, 20), ways=5, pool=2),
    "resnet12": make_space("resnet12", input_shape=(1, 16, 16), ways=5),
    "strided": make_space("resnet12", input_shape=(3, 16, 16), ways=5, downsampling="strided"),
}


def operators(model):
    return [node.op_type for node in onnx.load_model_from_string(model).graph.node]


def optimised(model, path):
    write_optimised(model, str(path))
    return Counter(operators(path.read_bytes()))


def int8(layers):
    return [replace(layer, dtype="int8") for layer in layers]


def cut(layer):
    return cut_out(layer, np.random.default_rng(0), write_optimised)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SPACES)
def test_a_network_runs_the_operators_of_a_quantised_one(name, seed, tmp_path):
    space = SPACES[name]
    (genes,) = space.sample(1, np.random.default_rng(seed))
    layers = space.layers(space.from_genes(genes))
    ours = network_model(int8(layers), np.random.default_rng(0))
    onnx.checker.check_model(ours, full_check=True)
    plain = network_model(layers, np.random.default_rng(0)).SerializeToString()
    images = np.random.default_rng(1).standard_normal((3, *space.input_shape), np.float32)
    made = optimised(ours.SerializeToString(), tmp_path / "ours.onnx")
    assert made == optimised(quantise(plain, images), tmp_path / "quantised.onnx")
    assert made["QLinearConv"] == 1 + sum(isinstance(layer, ConvLayer) for layer in layers)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SPACES)
def test_cut_layers_have_together_the_operators_of_the_network(name, seed, tmp_path):
    space = SPACES[name]
    (genes,) = space.sample(1, np.random.default_rng(seed))
    layers = int8(space.layers(space.from_genes(genes)))
    network = network_model(layers, np.random.default_rng(0)).SerializeToString()
    apart = Counter(name for layer in layers for name in operators(cut(layer)))
    whole = optimised(network, tmp_path / "whole.onnx")
    if isinstance(layers[1], ConvLayer) and name != "vgg9":  # the first block's shortcut reads too
        apart -= Counter(("QuantizeLinear", "Transpose"))
    assert apart == whole


@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("activation", [*ACTIVATIONS, "none"])
def test_maps_stay_in_int8_between_layers(activation, pool):
    layer = ConvLayer(24, 7, 6, out_channels=20, kernel=3, activation=activation, pool=pool)
    made = session(cut(replace(layer, dtype="int8")), optimise=False)
    (entering,), (leaving,) = made.get_inputs(), made.get_outputs()
    side = (4, 3) if pool == 2 else (7, 6)
    assert (entering.name, entering.type, entering.shape) == (INPUT, "tensor(uint8)", [1, 7, 6, 24])
    assert (leaving.name, leaving.type, leaving.shape) == (OUTPUT, "tensor(uint8)", [1, *side, 20])
    codes = np.random.default_rng(0).integers(0, 256, (1, 7, 6, 24), np.uint8)
    (output,) = made.run([OUTPUT], {INPUT: codes})
    assert output.shape == (1, *side, 20)
    assert output.std() > 1


def test_a_first_layer_reads_the_image_and_a_head_gives_logits():
    first = ConvLayer(3, 9, 9, out_channels=16, kernel=3, dtype="int8")
    (image,) = session(cut(first), optimise=False).get_inputs()
    assert (image.type, image.shape) == ("tensor(float)", [1, 3, 9, 9])
    head = HeadLayer(16, 9, 9, pool=5, ways=7, dtype="int8")
    (logits,) = session(cut(head), optimise=False).get_outputs()
    assert (logits.type, logits.shape) == ("tensor(float)", [1, 7])


def test_a_sum_reads_two_maps():
    model = onnx.load_model_from_string(cut(AddLayer(16, 6, 6, activation="elu", dtype="int8")))
    (addition,) = (node for node in model.graph.node if node.op_type == "QLinearAdd")
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    (other,) = {addition.input[0], addition.input[3]} & stored.keys()
    assert list(stored[other].dims) == [1, 6, 6, 16]
    assert INPUT in addition.input


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(5, 40),
    out_channels=st.integers(1, 40),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 2),
    pool=st.integers(1, 2),
    sides=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    activation=st.sampled_from([*ACTIVATIONS, "none"]),
)
def test_any_layer_can_be_timed(channels, out_channels, kernel, stride, pool, sides, activation):
    layer = ConvLayer(
        channels,
        *sides,
        out_channels=out_channels,
        kernel=kernel,
        stride=stride,
        pool=pool,
        activation=activation,
        dtype="int8",
    )
    assert load_runtime("onnx").prepare(layer, seed=0)(1) > 0


@pytest.mark.parametrize(
    "layer",
    [
        ConvLayer(1, 9, 9, out_channels=16, kernel=3, dtype="int8"),
        AddLayer(24, 9, 9, pool=2, dtype="int8"),
        HeadLayer(24, 9, 9, pool=1, ways=5, dtype="int8"),
    ],
    ids=str,
)
def test_other_layers_can_be_timed(layer):
    assert load_runtime("onnx").prepare(layer, seed=0)(1) > 0


def test_layers_alone_are_quantised_at_both_ends():
    layer = ConvLayer(8, 5, 5, out_channels=8, kernel=3, dtype="int8")
    model = layer_model(layer, np.random.default_rng(0))
    image = np.random.default_rng(1).uniform(-1, 1, (1, 8, 5, 5)).astype(np.float32)
    (output,) = session(model.SerializeToString()).run([OUTPUT], {INPUT: image})
    steps = output / (4 / 255)
    np.testing.assert_allclose(steps, steps.round(), atol=1e-3)
    assert len(np.unique(output)) > 20


def test_an_empty_graph_goes_with_any_dtype():
    layers = [EmptyLayer(8, 5, 5), ConvLayer(8, 5, 5, out_channels=8, kernel=3, dtype="int8")]
    assert network_model(layers, np.random.default_rng(0)).graph.node


def test_layers_of_two_dtypes_make_no_network():
    layer = ConvLayer(8, 5, 5, out_channels=8, kernel=3)
    with pytest.raises(ValueError, match="unpack"):
        network_model([layer, replace(layer, dtype="int8")], np.random.default_rng(0))


def test_a_runtime_that_computes_in_float_after_all_is_found_out():
    def leave(model, path):
        onnx.save(onnx.load_model_from_string(model), path)

    layer = ConvLayer(8, 5, 5, out_channels=8, kernel=3, dtype="int8")
    with pytest.raises(MeasurementFailedError, match="in another dtype"):
        cut_out(layer, np.random.default_rng(0), leave)


@pytest.mark.parametrize("name", ["native", "torch"])
def test_other_runtimes_say_that_they_have_none(name):
    assert load_runtime(name, Setup()).dtypes == ("float32",)
