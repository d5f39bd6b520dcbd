"""The VGG9 space of H-Meta-NAS (section 3 and appendix A, table 8)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from metanas.errors import ArchitectureError
from metanas.spaces.space import Genes, LayerIndices, SearchSpace
from metanas_agent.layers import ACTIVATIONS, ConvLayer, HeadLayer, LayerSpec

if TYPE_CHECKING:
    from metanas.spaces.network import Network

KERNELS = (1, 3, 5)
FACTORS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.25)
BASE_CHANNELS = 64
MAX_DEPTH = 4

Downsampling = Literal["pooled", "strided"]

_LAYER_TEXT = re.compile(r"k(\d{1,2})c(\d{1,5})([a-z]+6?)", re.ASCII)
_GENES_PER_LAYER = 3


@dataclass(frozen=True, slots=True)
class ConvChoice:
    """The three choices of one layer; prints as `k3c64relu`."""

    kernel: int
    channels: int
    activation: str

    def __str__(self) -> str:
        return f"k{self.kernel}c{self.channels}{self.activation}"


@dataclass(frozen=True, slots=True)
class VGG9Architecture:
    """A chain of convolution layers; prints as `k3c64relu-k5c16elu`."""

    layers: tuple[ConvChoice, ...]

    def __str__(self) -> str:
        return "-".join(map(str, self.layers))


class VGG9Space(SearchSpace[VGG9Architecture]):
    """Up to four convolution layers, each halving the map, then n x n pooling and a classifier.

    The genes are the depth, then (kernel, channels, activation) of each layer.

    Args:
        input_shape: (channels, height, width) of one image.
        ways: classes of a task.
        downsampling: `pooled` is a convolution at stride 1 then 2x2 max-pooling, which is how the
            paper's MACs count; `strided` is a convolution at stride 2, which is cheaper.
        pool: n of the n x n pooling before the classifier. Where the map is smaller than that,
            it is pooled to 1 x 1, as in the paper's Omniglot networks.
        global_expansion: whether the channels of every layer are searched. In VGG9 each layer is
            a block of its own, so without it (table 2) all layers keep the base channels.
        adaptive_depth: whether fewer than four layers are allowed (adaptive number of layers).

    Raises:
        ArchitectureError: the down-sampling is unknown.
    """

    name = "vgg9"

    def __init__(
        self,
        *,
        input_shape: tuple[int, int, int],
        ways: int,
        downsampling: Downsampling = "pooled",
        pool: int = 5,
        global_expansion: bool = True,
        adaptive_depth: bool = True,
    ) -> None:
        super().__init__(input_shape=input_shape, ways=ways)
        if downsampling not in get_args(Downsampling):
            raise ArchitectureError(
                f"vgg9: unknown downsampling {downsampling!r}",
                hint=f"choose from {', '.join(get_args(Downsampling))}",
            )
        self.downsampling = downsampling
        self.pool = pool
        self.global_expansion = global_expansion
        self.adaptive_depth = adaptive_depth
        factors = FACTORS if global_expansion else (1.0,)
        self.channels = tuple(int(BASE_CHANNELS * factor) for factor in factors)
        self.depths = tuple(range(1, MAX_DEPTH + 1)) if adaptive_depth else (MAX_DEPTH,)

    @property
    def settings(self) -> dict[str, str | int | bool]:
        """What makes this space what it is."""
        return {
            "space": self.name,
            "input": "x".join(map(str, self.input_shape)),
            "ways": self.ways,
            "downsampling": self.downsampling,
            "pool": self.pool,
            "global_expansion": self.global_expansion,
            "adaptive_depth": self.adaptive_depth,
        }

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Of the depth, then of each layer's kernel, channels and activation."""
        layer = (len(KERNELS), len(self.channels), len(ACTIVATIONS))
        return (len(self.depths), *(layer * MAX_DEPTH))

    def active(self, genes: Genes) -> NDArray[np.bool_]:
        """The depth, and the genes of the layers that it keeps."""
        depths = np.array(self.depths)[genes[..., 0]]
        layer_of_gene = np.repeat(np.arange(MAX_DEPTH), _GENES_PER_LAYER)
        kept = layer_of_gene < depths[..., None]
        return np.concatenate([np.ones((*genes.shape[:-1], 1), bool), kept], axis=-1)

    def to_genes(self, architecture: VGG9Architecture) -> Genes:
        """Genes of one architecture, shape (13,)."""
        genes = np.zeros(len(self.cardinalities), np.int64)
        genes[0] = self.depths.index(len(architecture.layers))
        for position, layer in enumerate(architecture.layers):
            genes[_at(position)] = (
                KERNELS.index(layer.kernel),
                self.channels.index(layer.channels),
                ACTIVATIONS.index(layer.activation),
            )
        return genes

    def from_genes(self, genes: Genes) -> VGG9Architecture:
        """The architecture of one row of genes."""
        self.check(genes)
        rows = (genes[_at(position)] for position in range(self.depths[genes[0]]))
        return VGG9Architecture(
            tuple(
                ConvChoice(KERNELS[kernel], self.channels[channels], ACTIVATIONS[activation])
                for kernel, channels, activation in rows
            )
        )

    def parse(self, text: str) -> VGG9Architecture:
        """Read an architecture back from its text.

        Raises:
            ArchitectureError: the text is none, or the space does not hold it.
        """
        matches = [_LAYER_TEXT.fullmatch(part) for part in text.strip().split("-")]
        layers = tuple(
            ConvChoice(int(match[1]), int(match[2]), match[3]) for match in matches if match
        )
        if len(layers) != len(matches):
            raise ArchitectureError(
                f"not a vgg9 architecture: {text[:200]!r}", hint="write it like k3c64relu-k5c16elu"
            )
        self._check_holds(layers)
        return VGG9Architecture(layers)

    def _check_holds(self, layers: tuple[ConvChoice, ...]) -> None:
        choices = [
            ("number of layers", len(layers), self.depths),
            *(("kernel", layer.kernel, KERNELS) for layer in layers),
            *(("channels", layer.channels, self.channels) for layer in layers),
            *(("activation", layer.activation, ACTIVATIONS) for layer in layers),
        ]
        for what, value, allowed in choices:
            if value not in allowed:
                raise ArchitectureError(
                    f"this vgg9 space has no {what} {value}",
                    hint=f"choose from {', '.join(map(str, allowed))}",
                )

    def chain(self, channels: int = BASE_CHANNELS, kernel: int = 3) -> VGG9Architecture:
        """Four equal ReLU layers; MAML's hand-made network has 64 (or 48) channels, kernel 3."""
        return VGG9Architecture((ConvChoice(kernel, channels, "relu"),) * MAX_DEPTH)

    def largest(self) -> VGG9Architecture:
        """All layers with the largest kernel and the most channels, ReLU."""
        return self.chain(max(self.channels), max(KERNELS))

    def corners(self) -> tuple[VGG9Architecture, ...]:
        """The largest network of each depth: each has a classifier of its own."""
        layer = self.largest().layers[0]
        return tuple(VGG9Architecture((layer,) * depth) for depth in self.depths)

    def cheapest(self, costs: NDArray[np.float64]) -> VGG9Architecture:
        """By dynamic programming over the channels between layers, so exact.

        Args:
            costs: one cost a layer, aligned to `all_layers`.
        """
        *conv_tables, head_table = self._rows[1]
        reach = np.zeros(1)  # least cost of reaching each number of channels
        back: list[NDArray[np.int64]] = []
        best, best_cost = np.zeros(len(self.cardinalities), np.int64), np.inf
        for position, table in enumerate(conv_tables):
            through = (reach.reshape(-1, 1, 1, 1) + costs[table]).transpose(2, 0, 1, 3)
            flat = through.reshape(len(self.channels), -1)
            back.append(np.stack(np.unravel_index(flat.argmin(1), through.shape[1:]), axis=1))
            reach = flat.min(1)
            if position + 1 in self.depths:
                depth = self.depths.index(position + 1)
                totals = reach + costs[head_table[depth]]
                if totals.min() < best_cost:
                    best_cost = float(totals.min())
                    best = self._trace(back, int(totals.argmin()), depth)
        return self.from_genes(best)

    def _trace(self, back: list[NDArray[np.int64]], channels: int, depth: int) -> Genes:
        genes = np.zeros(len(self.cardinalities), np.int64)
        genes[0] = depth
        for position in reversed(range(len(back))):
            channels_in, kernel, activation = back[position][channels]
            genes[_at(position)] = kernel, channels, activation
            channels = int(channels_in)
        return genes

    def layers(self, architecture: VGG9Architecture) -> tuple[LayerSpec, ...]:
        """The convolutions, then the head."""
        layers: list[LayerSpec] = []
        channels = self.input_shape[0]
        for position, choice in enumerate(architecture.layers):
            layers.append(self._conv(position, channels, choice))
            channels = choice.channels
        return (*layers, self._head(len(architecture.layers), channels))

    @cached_property
    def _sides(self) -> tuple[tuple[int, int], ...]:
        _, height, width = self.input_shape
        return tuple((-(-height // 2**i), -(-width // 2**i)) for i in range(MAX_DEPTH + 1))

    def _conv(self, position: int, in_channels: int, choice: ConvChoice) -> ConvLayer:
        pooled = self.downsampling == "pooled"
        return ConvLayer(
            in_channels,
            *self._sides[position],
            out_channels=choice.channels,
            kernel=choice.kernel,
            stride=1 if pooled else 2,
            activation=choice.activation,
            pool=2 if pooled else 1,
        )

    def _head(self, depth: int, in_channels: int) -> HeadLayer:
        sides = self._sides[depth]
        pool = self.pool if self.pool <= min(sides) else 1
        return HeadLayer(in_channels, *sides, pool=pool, ways=self.ways)

    @cached_property
    def _rows(self) -> tuple[dict[LayerSpec, int], list[LayerIndices]]:
        """Every distinct layer with its index, and the index by (position, genes)."""
        index: dict[LayerSpec, int] = {}
        tables = []
        for position in range(MAX_DEPTH):
            inputs = self.channels if position else self.input_shape[:1]
            choices = product(inputs, KERNELS, self.channels, ACTIVATIONS)
            rows = [
                index.setdefault(self._conv(position, c, ConvChoice(k, f, a)), len(index))
                for c, k, f, a in choices
            ]
            shape = (len(inputs), len(KERNELS), len(self.channels), len(ACTIVATIONS))
            tables.append(np.array(rows).reshape(shape))
        heads = [
            index.setdefault(self._head(depth, channels), len(index))
            for depth, channels in product(self.depths, self.channels)
        ]
        return index, [*tables, np.array(heads).reshape(len(self.depths), len(self.channels))]

    @cached_property
    def all_layers(self) -> tuple[LayerSpec, ...]:
        """Every (kernel, channels in, channels out, activation) by position, then the heads."""
        return tuple(self._rows[0])

    def layer_indices(self, genes: Genes) -> LayerIndices:
        """(architectures, 5): the four convolutions, then the head."""
        *conv_tables, head_table = self._rows[1]
        depths = np.array(self.depths)[genes[:, 0]]
        indices = np.full((len(genes), MAX_DEPTH + 1), -1)
        channels_in = np.zeros(len(genes), np.int64)
        for position, table in enumerate(conv_tables):
            kernel, channels, activation = genes[:, _at(position)].T
            here = table[channels_in, kernel, channels, activation]
            indices[:, position] = np.where(position < depths, here, -1)
            channels_in = np.where(position < depths, channels, channels_in)
        indices[:, MAX_DEPTH] = head_table[genes[:, 0], channels_in]
        return indices

    def network(self, architecture: VGG9Architecture) -> Network:
        """A chain; each depth has a classifier of its own."""
        from metanas.spaces.sequential import SequentialNetwork  # noqa: PLC0415 - torch is slow

        return SequentialNetwork(self.layers(architecture))


def _at(position: int) -> slice:
    start = 1 + position * _GENES_PER_LAYER
    return slice(start, start + _GENES_PER_LAYER)
