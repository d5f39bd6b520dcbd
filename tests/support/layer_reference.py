"""What ONNX Runtime makes of a layer, with the weights and the input of a native program."""

from __future__ import annotations

import numpy as np
import onnxruntime
from onnx import numpy_helper

from metanas_agent.layers import AddLayer, ConvLayer, HeadLayer, LayerSpec
from metanas_agent.runtimes.onnx_graph import INPUT, layer_model
from support.native_program import Array, NativeProgram


def weight_shapes(layer: LayerSpec) -> tuple[tuple[int, ...], ...]:
    """Of the weights, then of the biases; of the second map where two are added."""
    match layer:
        case ConvLayer():
            return (
                (layer.out_channels, layer.in_channels, layer.kernel, layer.kernel),
                (layer.out_channels,),
            )
        case AddLayer():
            return ((1, *layer.input_shape),)
        case HeadLayer():
            return (layer.ways, layer.features), (layer.ways,)
    return ()


def onnx_output(layer: LayerSpec, image: Array, weights: Array) -> Array:
    """The output, flat."""
    model = layer_model(layer, np.random.default_rng(0))
    constants = {constant.name: constant for constant in model.graph.initializer}
    start = 0
    for i, shape in enumerate(weight_shapes(layer)):
        end = start + int(np.prod(shape))
        values = weights[start:end].reshape(shape).copy()
        name = f"constant{i}"
        constants[name].CopyFrom(numpy_helper.from_array(values, name))
        start = end
    assert start == weights.size
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (output,) = session.run(None, {INPUT: image.reshape(1, *layer.input_shape)})
    return np.asarray(output, np.float32).ravel()


def check_layer(program: NativeProgram, layer: LayerSpec, *, seed: int = 1) -> None:
    """The program runs the layer, and its output is ONNX Runtime's."""
    assert program.prepare(layer, seed=seed) == "ok", layer
    image, weights = program.ask_floats("input"), program.ask_floats("weights")
    word, time_ns = program.ask("run 2").split()
    assert word == "ns"
    assert int(time_ns) > 0
    output = program.ask_floats("output")
    expected = onnx_output(layer, image, weights)
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=5e-6, err_msg=str(layer))
