"""Int8Chain: the graph as static quantisation writes it, QuantizeLinear and DequantizeLinear pairs.

onnxruntime makes one int8 operator of a float32 one between such pairs. Maps are uint8 with one
scale, weights int8 with a scale a channel, biases int32. The ranges are plausible ones: the time
does not depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metanas_agent.layers import HeadLayer
from metanas_agent.runtimes.onnx_chain import INPUT, Array, Chain, kaiming_bound

Range = tuple[float, float]

_USUAL: Range = (-4.0, 4.0)
_RANGES: dict[str, Range] = {"Relu": (0.0, 4.0), "Clip": (0.0, 6.0), "Sigmoid": (0.0, 1.0)}
"""Of the values behind an operator, where they are not the usual ones."""

_SAME_RANGE = frozenset({"MaxPool", "AveragePool", "Flatten"})

_INSIDE = frozenset({"Relu", "Clip"})
"""Read the map in front as it is: they become a part of the operator there."""

_LEVELS = 255
_LARGEST_WEIGHT = 127


@dataclass
class Int8Chain(Chain):
    """Nodes one behind the other, each map quantised where it is read.

    Args:
        ranges: smallest and largest value of each map, by its name.
        pairs: name of each map behind its pair of nodes, by its name.
        weight_scales: of the newest weights, one an output channel.
    """

    ranges: dict[str, Range] = field(default_factory=lambda: {INPUT: (-1.0, 1.0)})
    pairs: dict[str, str] = field(default_factory=dict)
    weight_scales: Array = field(default_factory=lambda: np.ones(1, np.float32))

    def add(self, operator: str, *others: str, **attributes: object) -> None:
        """See `Chain`."""
        entering = self.ranges[self.end]
        inputs = [self.end, *others]
        if operator not in _INSIDE:
            inputs = [self._quantised(name) for name in inputs]
        self.end = self.node(operator, *inputs, **attributes)
        usual = entering if operator in _SAME_RANGE else _USUAL
        self.ranges[self.end] = _RANGES.get(operator, usual)

    def close(self) -> None:
        """See `Chain`; the output is float32 again."""
        self._quantised(self.end)
        super().close()

    def classify(self, layer: HeadLayer) -> None:
        """See `Chain`; as a convolution, behind which maps keep their channels last."""
        kernel = [layer.pool] * 2
        weights = self.weights(layer.ways, layer.in_channels, *kernel)
        self.add("Conv", weights, self.bias(layer.ways), kernel_shape=kernel)
        self.add("Flatten")

    def weights(self, *shape: int) -> str:
        """See `Chain`."""
        values = self._integers(shape)
        bound = kaiming_bound(shape) / _LARGEST_WEIGHT
        self.weight_scales = np.full(shape[0], bound, np.float32)
        return self._dequantised(values, self.weight_scales)

    def bias(self, length: int) -> str:
        """See `Chain`; its scales are the input's times the weights'."""
        values = self._integers((length,)).astype(np.int32)
        return self._dequantised(values, self.weight_scales * _scale(self.ranges[self.end]))

    def random_map(self, shape: tuple[int, ...]) -> str:
        """See `Chain`."""
        values = self.rng.integers(0, _LEVELS, (1, *shape), np.uint8, endpoint=True)
        return self.node("DequantizeLinear", self.constant(values), *self._parameters(_USUAL))

    def _quantised(self, name: str) -> str:
        """A map behind its pair of nodes; what is no map stays as it is."""
        if name not in self.ranges:
            return name
        if name not in self.pairs:
            parameters = self._parameters(self.ranges[name])
            codes = self.node("QuantizeLinear", name, *parameters)
            self.pairs[name] = self.node("DequantizeLinear", codes, *parameters)
        return self.pairs[name]

    def _parameters(self, values: Range) -> tuple[str, str]:
        """Scale and zero point of a map."""
        scale = _scale(values)
        zero = np.array(round(-values[0] / scale), np.uint8)
        return self.constant(np.array(scale, np.float32)), self.constant(zero)

    def _dequantised(self, values: NDArray[np.signedinteger], scales: Array) -> str:
        zeros = self.constant(np.zeros(scales.shape, values.dtype))
        inputs = (self.constant(values), self.constant(scales), zeros)
        return self.node("DequantizeLinear", *inputs, axis=0)

    def _integers(self, shape: tuple[int, ...]) -> NDArray[np.int8]:
        return self.rng.integers(-_LARGEST_WEIGHT, _LARGEST_WEIGHT, shape, np.int8, endpoint=True)


def _scale(values: Range) -> float:
    return (values[1] - values[0]) / _LEVELS
