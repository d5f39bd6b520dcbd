"""GraphWriter: an ONNX graph, written one operation at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import helper, numpy_helper

from metanas.deploy.opset import OLDEST_OPSET

Value = str
"""Name of a tensor in the graph."""

Shape = Sequence[int | str]
"""Sizes of a tensor; a name stands for a free one."""


class GraphWriter:
    """Nodes and constants in the order that they were asked for."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[Value, NDArray[Any]] = {}
        self._known: dict[tuple[str, tuple[int, ...], bytes], Value] = {}

    def constant(self, array: ArrayLike, dtype: type[np.generic] = np.float32) -> Value:
        """A tensor of fixed values; equal ones are stored once."""
        values = np.ascontiguousarray(array, dtype)
        key = (str(values.dtype), np.shape(array), values.tobytes())
        if key not in self._known:
            self._known[key] = f"c{len(self._known)}"
            self._constants[self._known[key]] = values.reshape(np.shape(array))
        return self._known[key]

    def ints(self, *numbers: int) -> Value:
        """A constant vector, such as a shape or axes."""
        return self.constant(numbers, np.int64)

    def add(self, operator: str, *inputs: Value, **attributes: Any) -> Value:
        """The output of an operator that gives one."""
        output = f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def image_count(self, batch: Value) -> Value:
        """How many images a batch has, (1,)."""
        return self.add("Gather", self.add("Shape", batch), self.ints(0))

    def name(self, value: Value, name: str) -> None:
        """Give a tensor a name from outside, as the graph's outputs have."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))

    def model(self, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]) -> onnx.ModelProto:
        """The graph as a model; what no output needs is left out."""
        nodes, used = self._needed(outputs)
        graph = helper.make_graph(
            nodes,
            "adaptation",
            _infos(inputs),
            _infos(outputs),
            [numpy_helper.from_array(v, n) for n, v in self._constants.items() if n in used],
        )
        opsets = [helper.make_opsetid("", OLDEST_OPSET)]  # from which the converter reaches all
        return helper.make_model(graph, opset_imports=opsets, producer_name="metanas")

    def _needed(self, outputs: Iterable[str]) -> tuple[list[onnx.NodeProto], set[Value]]:
        used = set(outputs)
        nodes = []
        for node in reversed(self._nodes):
            if used.intersection(node.output):
                used.update(node.input)
                nodes.append(node)
        return nodes[::-1], used


def _infos(tensors: Mapping[str, Shape]) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in tensors.items()
    ]
