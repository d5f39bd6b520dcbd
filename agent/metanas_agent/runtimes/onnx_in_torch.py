"""An ONNX graph computed by torch: the few operators that our networks consist of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from onnx import ModelProto, NodeProto, helper, numpy_helper
from torch import Tensor
from torch.nn import functional as F

from metanas_agent.errors import MeasurementFailedError

Attributes = Mapping[str, Any]
Function = Callable[..., Tensor]


class _Step(NamedTuple):
    function: Function
    inputs: tuple[str, ...]
    output: str


class TorchGraph:
    """Maps images to the graph's first output.

    Args:
        model: has one input that is no constant.
        device: where it is computed.

    Raises:
        MeasurementFailedError: an operator is unknown here.
    """

    def __init__(self, model: ModelProto, device: torch.device) -> None:
        graph = model.graph
        self._constants = {
            constant.name: _value(numpy_helper.to_array(constant), device)
            for constant in graph.initializer
        }
        self._steps = [_step(node) for node in graph.node]
        (self._input,) = (value.name for value in graph.input if value.name not in self._constants)
        self._output = graph.output[0].name

    def __call__(self, images: Tensor) -> Tensor:
        """Compute it; the graph's own input shape does not bind the batch size."""
        values = {**self._constants, self._input: images}
        for function, inputs, output in self._steps:
            values[output] = function(*[values[name] for name in inputs])
        result: Tensor = values[self._output]
        return result


def _value(array: Any, device: torch.device) -> Any:
    """Weights as a tensor; shapes and bounds as plain numbers, which torch wants on the CPU."""
    if array.ndim and array.dtype == "float32":
        return torch.from_numpy(array.copy()).to(device)
    return array.tolist()


def _step(node: NodeProto) -> _Step:
    make = _OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if make is None:
        raise MeasurementFailedError(
            f"the runtime torch does not know the operator {node.op_type:.60}",
            hint="run this model with the runtime onnx",
        )
    attributes = {part.name: helper.get_attribute_value(part) for part in node.attribute}
    return _Step(make(attributes), tuple(filter(None, node.input)), node.output[0])


def _conv(attributes: Attributes) -> Function:
    options = {
        "stride": attributes.get("strides", 1),
        "padding": _padding(attributes),
        "dilation": attributes.get("dilations", 1),
        "groups": attributes.get("group", 1),
    }
    return lambda x, weight, bias=None: F.conv2d(x, weight, bias, **options)


def _pool(pool: Function, **more: object) -> Callable[[Attributes], Function]:
    def make(attributes: Attributes) -> Function:
        size = attributes["kernel_shape"]
        options = {
            "kernel_size": size,
            "stride": attributes.get("strides", [1] * len(size)),
            "padding": _padding(attributes),
            "ceil_mode": bool(attributes.get("ceil_mode", 0)),
            **more,
        }
        if any(side != 1 for side in attributes.get("dilations", ())):
            raise _unknown("dilated pooling")
        return lambda x: pool(x, **options)

    return make


def _average_pool(attributes: Attributes) -> Function:
    include = bool(attributes.get("count_include_pad", 0))
    return _pool(F.avg_pool2d, count_include_pad=include)(attributes)


def _padding(attributes: Attributes) -> list[int]:
    pads = list(attributes.get("pads", [0, 0, 0, 0]))
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET" or pads[:2] != pads[2:]:
        raise _unknown("padding that is not the same on both sides")
    return pads[:2]


def _concat(attributes: Attributes) -> Function:
    return lambda *maps: torch.cat(maps, attributes["axis"])


def _slice(_attributes: Attributes) -> Function:
    """Bounds from the start; no axes are all of them."""

    def cut(
        x: Tensor,
        starts: Sequence[int],
        ends: Sequence[int],
        axes: Sequence[int] | None = None,
        steps: Sequence[int] | None = None,
    ) -> Tensor:
        bounds = [slice(None)] * x.dim()
        for place, axis in enumerate(axes or range(len(starts))):
            step = steps[place] if steps else 1
            bounds[axis] = slice(starts[place], ends[place], step)
        return x[tuple(bounds)]

    return cut


def _gemm(attributes: Attributes) -> Function:
    if attributes.get("transA", 0) or not attributes.get("transB", 0):
        raise _unknown("Gemm of matrices that are not a linear layer's")
    if attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0:
        raise _unknown("scaled Gemm")
    return F.linear


def _unknown(what: str) -> MeasurementFailedError:
    return MeasurementFailedError(
        f"the runtime torch does not know {what}", hint="run this model with the runtime onnx"
    )


_OPERATORS: dict[str, Callable[[Attributes], Function]] = {
    "Add": lambda _: torch.add,
    "AveragePool": _average_pool,
    "Clip": lambda _: torch.clamp,
    "Concat": _concat,
    "Conv": _conv,
    "Elu": lambda attributes: lambda x: F.elu(x, attributes.get("alpha", 1.0)),
    "Flatten": lambda attributes: lambda x: x.flatten(attributes.get("axis", 1)),
    "Gemm": _gemm,
    "Identity": lambda _: torch.clone,
    "LeakyRelu": lambda attributes: lambda x: F.leaky_relu(x, attributes.get("alpha", 0.01)),
    "MaxPool": _pool(F.max_pool2d),
    "Relu": lambda _: F.relu,
    "Reshape": lambda _: torch.reshape,
    "Selu": lambda _: F.selu,
    "Sigmoid": lambda _: torch.sigmoid,
    "Slice": _slice,
}
