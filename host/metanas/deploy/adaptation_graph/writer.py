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
        self._written: dict[tuple[Any, ...], tuple[Value, ...]] = {}

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
        """The output of an operator that gives one; asked for again, the same."""
        (output,) = self.split(operator, 1, *inputs, **attributes)
        return output

    def split(
        self, operator: str, outputs: int, *inputs: Value, **attributes: Any
    ) -> tuple[Value, ...]:
        """The outputs of an operator that gives several."""
        key = (operator, inputs, tuple(sorted(attributes.items())))
        if key not in self._written:
            names = tuple(f"v{len(self._nodes)}_{index}" for index in range(outputs))
            self._nodes.append(helper.make_node(operator, inputs, names, **attributes))
            self._written[key] = names
        return self._written[key]

    def rows(self, x: Value) -> Value:
        """The first size of a tensor, (1,), as a float."""
        size = self.add("Gather", self.add("Shape", x), self.ints(0))
        return self.add("Cast", size, to=onnx.TensorProto.FLOAT)

    def elements(self, x: Value) -> Value:
        """How many numbers a tensor has, a scalar, as a float."""
        return self.add("Cast", self.add("Size", x), to=onnx.TensorProto.FLOAT)

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
