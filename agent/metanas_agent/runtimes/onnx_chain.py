"""Chain: the nodes and weights of an ONNX graph while it is built, layer behind layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from metanas_agent.layers import AddLayer, ConvLayer, HeadLayer

INPUT = "image"
OUTPUT = "output"

Array = NDArray[np.float32]

_ACTIVATION_OPERATORS = {
    "relu": "Relu",
    "elu": "Elu",
    "selu": "Selu",
    "sigmoid": "Sigmoid",
    "relu6": "Clip",
    "leakyrelu": "LeakyRelu",
}


@dataclass
class Chain:
    """Nodes one behind the other, in float32.

    Args:
        rng: of the weights.
        end: name of the map that the next node reads.
        block: name of the map that the block's first node reads.
        through: name of the map that a shortcut is added to, none outside of shortcuts.
        others: names of the maps that the next layer reads beside the end.
        made: name of each map or constant that was made once, by what makes it.
    """

    rng: np.random.Generator
    end: str = INPUT
    block: str = INPUT
    through: str | None = None
    others: Sequence[str] = ()
    made: dict[object, str] = field(default_factory=dict)
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def add(self, operator: str, *others: str, **attributes: object) -> None:
        """Go on with a node that reads the end and the other maps or constants."""
        self.end = self.node(operator, self.end, *others, **attributes)

    def close(self) -> None:
        """The end is the graph's output."""
        self.nodes[-1].output[0] = OUTPUT

    def begin_shortcut(self) -> None:
        """What comes next reads what the block reads."""
        self.through, self.end = self.end, self.block

    def end_shortcut(self) -> str | None:
        """Go on where the shortcut began; the name of its map, none where there is none."""
        if self.through is None:
            return None
        shortcut, self.end, self.through = self.end, self.through, None
        return shortcut

    def finish(self, layer: ConvLayer | AddLayer) -> None:
        """The layer's activation and max-pooling."""
        if layer.activation == "relu6":
            bounds = (self.constant(np.array(bound, np.float32)) for bound in (0, 6))
            self.add("Clip", *bounds)
        elif layer.activation != "none":
            self.add(_ACTIVATION_OPERATORS[layer.activation])
        if layer.pool > 1:
            side = [layer.pool] * 2
            self.add("MaxPool", kernel_shape=side, strides=side, ceil_mode=1)

    def once(self, operator: str, *integers: int, **attributes: object) -> None:
        """As `add`, with constants of one integer each; what was made before is not made again.

        Exporters and runtimes share such nodes too.
        """
        maker = (operator, self.end, integers, repr(attributes))
        if maker not in self.made:
            others = (self._integer(integer) for integer in integers)
            self.made[maker] = self.node(operator, self.end, *others, **attributes)
        self.end = self.made[maker]

    def _integer(self, value: int) -> str:
        if value not in self.made:
            self.made[value] = self.constant(np.array([value], np.int64))
        return self.made[value]

    def classify(self, layer: HeadLayer) -> None:
        """The layer's linear classifier."""
        self.add("Flatten")
        weights = self.weights(layer.ways, layer.features)
        self.add("Gemm", weights, self.bias(layer.ways), transB=1)

    def weights(self, *shape: int) -> str:
        """Kaiming's uniform weights, which keep the magnitude of what flows through."""
        return self.constant(uniform(self.rng, shape, kaiming_bound(shape)))

    def bias(self, length: int) -> str:
        """One small number a channel."""
        return self.constant(uniform(self.rng, (length,), 0.1))

    def random_map(self, shape: tuple[int, ...]) -> str:
        """A constant map of one image."""
        return self.constant(uniform(self.rng, (1, *shape), 1.0))

    def node(self, operator: str, *inputs: str, **attributes: object) -> str:
        """Add a node; the name of its output."""
        target = f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [target], **attributes))  # type: ignore[arg-type]
        return target

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant; its name."""
        name = f"constant{len(self.constants)}"
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        tensor = helper.make_tensor(name, kind, values.shape, values.tobytes(), raw=True)
        self.constants.append(tensor)
        return name


def uniform(rng: np.random.Generator, shape: tuple[int, ...], bound: float) -> Array:
    """Values in [-bound, bound)."""
    values = rng.random(shape, dtype=np.float32)
    values -= 0.5
    values *= 2 * bound
    return values


def kaiming_bound(shape: tuple[int, ...]) -> float:
    """Largest weight, of shape (outputs, ...)."""
    return float((6 / prod(shape[1:])) ** 0.5)
