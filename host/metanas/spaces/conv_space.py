"""ConvSpace: spaces whose choices are a depth and, for every layer, what convolution it is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Generic, Literal, NamedTuple, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from metanas.errors import ArchitectureError
from metanas.spaces.conv_choice import ConvArchitecture, ConvChoice
from metanas.spaces.layer_index import LayerIndex, Table
from metanas.spaces.space import Genes, LayerIndices, SearchSpace
from metanas_agent.layers import ACTIVATIONS, DTYPES, HeadLayer, LayerSpec

KERNELS = (1, 3, 5)

Downsampling = Literal["pooled", "strided"]

Costs = NDArray[np.float64]

_GENES_PER_LAYER = 3


class Reached(NamedTuple):
    """The cheapest beginnings of an architecture, one for each number of channels they end in.

    Args:
        costs: of each, (alternatives,).
        genes: of each, (alternatives, genes); those of later layers are still 0.
    """

    costs: Costs
    genes: Genes


class LayerBytes(NamedTuple):
    """Bytes of maps, aligned to `all_layers`; then 0 for the empty slot, whose index is -1.

    Args:
        input: of each layer's input.
        output: of its output.
        peak: that it needs at one moment by itself.
    """

    input: NDArray[np.int64]
    output: NDArray[np.int64]
    peak: NDArray[np.int64]


T = TypeVar("T")
"""The numbers of a block's layers, in tables by choice."""


class _Tables(NamedTuple, Generic[T]):
    layers: tuple[LayerSpec, ...]
    blocks: tuple[T, ...]
    heads: Table


class ConvSpace(SearchSpace[ConvArchitecture], Generic[T]):
    """Blocks of convolutions, each block halving the map, then n x n pooling and a classifier.

    The genes are the number of blocks, then (kernel, channels, activation) of each layer. A
    subclass says how the layers of a block are wired.

    Args:
        input_shape: (channels, height, width) of one image.
        ways: classes of a task.
        downsampling: `pooled` is 2x2 max-pooling at the end of a block, which is how the papers'
            MACs count; `strided` is a first convolution at stride 2, which is cheaper.
        pool: n of the n x n pooling before the classifier. Where the map is smaller than that,
            it is pooled to 1 x 1, as in H-Meta-NAS's Omniglot networks.
        global_expansion: whether the channels of the last layer of each block, its edge, are
            searched too; without it (table 2 of H-Meta-NAS) they are the base channels.
        adaptive_depth: whether fewer blocks than all are allowed (adaptive number of layers).
        dtype: what the layers compute in on a device, `float32` or `int8`. The architectures are
            the same; what they cost is not.

    Raises:
        ArchitectureError: the down-sampling or the dtype is unknown.
    """

    base_channels: ClassVar[tuple[int, ...]]
    """Of each layer, in order."""
    factors: ClassVar[tuple[float, ...]]
    """That the base channels may be multiplied with."""
    layers_per_block: ClassVar[int]

    def __init__(
        self,
        *,
        input_shape: tuple[int, int, int],
        ways: int,
        downsampling: Downsampling = "pooled",
        pool: int = 5,
        global_expansion: bool = True,
        adaptive_depth: bool = True,
        dtype: str = "float32",
    ) -> None:
        super().__init__(input_shape=input_shape, ways=ways)
        for what, given, known in (
            ("downsampling", downsampling, get_args(Downsampling)),
            ("dtype", dtype, DTYPES),
        ):
            if given not in known:
                raise ArchitectureError(
                    f"{self.name}: unknown {what} {given!r}",
                    hint=f"choose from {', '.join(known)}",
                )
        self.downsampling = downsampling
        self.pool = pool
        self.global_expansion = global_expansion
        self.adaptive_depth = adaptive_depth
        self.dtype = dtype
        self.blocks = len(self.base_channels) // self.layers_per_block
        self.depths = tuple(range(1, self.blocks + 1)) if adaptive_depth else (self.blocks,)
        self.layer_channels = tuple(
            tuple(int(base * factor) for factor in self._factors_at(position))
            for position, base in enumerate(self.base_channels)
        )

    @abstractmethod
    def _block(
        self, block: int, in_channels: int, choices: Sequence[ConvChoice]
    ) -> Sequence[LayerSpec]:
        """Layers of a block, in order of execution."""

    @abstractmethod
    def _block_tables(self, index: LayerIndex, block: int, in_channels: Sequence[int]) -> T:
        """Number every layer that the block may have."""

    @abstractmethod
    def _block_indices(self, tables: T, genes: Genes, channels_in: Genes) -> LayerIndices:
        """(architectures, layers of a block) as `_block` orders them.

        Args:
            tables: of the block.
            genes: of the block, (architectures, layers per block, 3).
            channels_in: genes of the channels that enter it, (architectures,).
        """

    @abstractmethod
    def _waiting_bytes(self, indices: LayerIndices) -> NDArray[np.int64]:
        """Bytes of the maps that a later layer reads, while each layer of a block runs.

        Args:
            indices: layers of blocks, (architectures, blocks, layers of a block).

        Returns:
            Of the indices' shape.
        """

    @abstractmethod
    def _extend(
        self, tables: T, costs: Costs, position: int, reached: Reached, peak_bytes: float
    ) -> Reached:
        """Continue the cheapest beginnings by a block whose first layer is at `position`.

        Args:
            tables: of the block.
            costs: one a layer; infinite where the layer alone needs more than `peak_bytes`.
            position: of the block's first layer.
            reached: the beginnings.
            peak_bytes: most bytes of maps at any moment in the block.
        """

    @property
    def settings(self) -> dict[str, str | int | bool]:
        """What makes this space what it is; the dtype, where it is not float32."""
        return super().settings | {
            "downsampling": self.downsampling,
            "pool": self.pool,
            "global_expansion": self.global_expansion,
            "adaptive_depth": self.adaptive_depth,
            **({"dtype": self.dtype} if self.dtype != "float32" else {}),
        }

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Of the depth, then of each layer's kernel, channels and activation."""
        layers = (
            (len(KERNELS), len(channels), len(ACTIVATIONS)) for channels in self.layer_channels
        )
        return (len(self.depths), *(count for layer in layers for count in layer))

    def active(self, genes: Genes) -> NDArray[np.bool_]:
        """The depth, and the genes of the layers that it keeps."""
        depths = np.array(self.depths)[genes[..., 0]]
        block_of_gene = np.repeat(np.arange(self.blocks), self.layers_per_block * _GENES_PER_LAYER)
        kept = block_of_gene < depths[..., None]
        return np.concatenate([np.ones((*genes.shape[:-1], 1), bool), kept], axis=-1)

    def to_genes(self, architecture: ConvArchitecture) -> Genes:
        """Genes of one architecture, shape (1 + 3 × layers,)."""
        genes = np.zeros(len(self.cardinalities), np.int64)
        genes[0] = self.depths.index(len(architecture.layers) // self.layers_per_block)
        for position, layer in enumerate(architecture.layers):
            genes[genes_at(position)] = (
                KERNELS.index(layer.kernel),
                self.layer_channels[position].index(layer.channels),
                ACTIVATIONS.index(layer.activation),
            )
        return genes

    def from_genes(self, genes: Genes) -> ConvArchitecture:
        """The architecture of one row of genes."""
        self.check(genes)
        kept = self.layer_channels[: self.depths[genes[0]] * self.layers_per_block]
        layers = []
        for position, channels in enumerate(kept):
            k, c, a = genes[genes_at(position)]
            layers.append(ConvChoice(KERNELS[k], channels[c], ACTIVATIONS[a]))
        return ConvArchitecture(tuple(layers))

    def parse(self, text: str) -> ConvArchitecture:
        """Read an architecture back from its text.

        Raises:
            ArchitectureError: the text is none, or the space does not hold it.
        """
        architecture = ConvArchitecture.parse(text)
        numbers = [depth * self.layers_per_block for depth in self.depths]
        self._check_choice("number of layers", len(architecture.layers), numbers)
        for layer, channels in zip(architecture.layers, self.layer_channels, strict=False):
            self._check_choice("kernel", layer.kernel, KERNELS)
            self._check_choice("channels", layer.channels, channels)
            self._check_choice("activation", layer.activation, ACTIVATIONS)
        return architecture

    def _check_choice(self, what: str, value: object, allowed: Sequence[object]) -> None:
        if value not in allowed:
            raise ArchitectureError(
                f"this {self.name} space has no {what} {value}",
                hint=f"choose from {', '.join(map(str, allowed))}",
            )

    def plain(
        self, channels: Sequence[int], *, kernel: int = 3, activation: str = "relu"
    ) -> ConvArchitecture:
        """An architecture whose layers differ in their channels only."""
        return ConvArchitecture(tuple(ConvChoice(kernel, c, activation) for c in channels))

    def largest(self) -> ConvArchitecture:
        """All layers with the largest kernel and the most channels, ReLU."""
        return self.plain([max(channels) for channels in self.layer_channels], kernel=max(KERNELS))

    def corners(self) -> tuple[ConvArchitecture, ...]:
        """The largest network of each depth: each has a classifier of its own."""
        layers = self.largest().layers
        return tuple(ConvArchitecture(layers[: d * self.layers_per_block]) for d in self.depths)

    def layers(self, architecture: ConvArchitecture) -> tuple[LayerSpec, ...]:
        """Those of each block, then the head."""
        layers: list[LayerSpec] = []
        channels, step = self.input_shape[0], self.layers_per_block
        depth = len(architecture.layers) // step
        for block in range(depth):
            choices = architecture.layers[block * step : (block + 1) * step]
            layers += self._block(block, channels, choices)
            channels = choices[-1].channels
        return (*layers, self._head(depth, channels))

    @cached_property
    def all_layers(self) -> tuple[LayerSpec, ...]:
        """Every layer that some architecture has, block by block, then the heads."""
        return self._tables.layers

    def layer_indices(self, genes: Genes) -> LayerIndices:
        """(architectures, layers of all blocks and a head)."""
        depths = np.array(self.depths)[genes[:, 0]]
        by_block = genes[:, 1:].reshape(
            len(genes), self.blocks, self.layers_per_block, _GENES_PER_LAYER
        )
        channels_in = np.zeros(len(genes), np.int64)
        slots = []
        for block, tables in enumerate(self._tables.blocks):
            kept = block < depths
            here = self._block_indices(tables, by_block[:, block], channels_in)
            slots.append(np.where(kept[:, None], here, -1))
            channels_in = np.where(kept, by_block[:, block, -1, 1], channels_in)
        slots.append(self._tables.heads[genes[:, 0], channels_in][:, None])
        return np.concatenate(slots, axis=1)

    def peak_bytes(self, genes: Genes) -> NDArray[np.int64]:
        """Most bytes of maps that live at one moment, one number an architecture."""
        indices = self.layer_indices(genes)
        live = self._bytes.peak[indices]
        body = indices[:, :-1]  # the last is the head
        in_blocks = body.reshape(len(genes), self.blocks, body.shape[1] // self.blocks)
        live[:, :-1] += self._waiting_bytes(in_blocks).reshape(body.shape)
        peaks: NDArray[np.int64] = live.max(axis=1)
        return peaks

    def cheapest_within(self, costs: Costs, peak_bytes: float) -> ConvArchitecture | None:
        """By dynamic programming over the channels between blocks, so exact.

        Args:
            costs: one cost a layer, aligned to `all_layers`.
            peak_bytes: most bytes of maps at any moment.
        """
        reached = Reached(np.zeros(1), np.zeros((1, len(self.cardinalities)), np.int64))
        best, least = reached.genes[0], np.inf
        costs = np.where(self._bytes.peak[:-1] <= peak_bytes, costs, np.inf)
        for block, tables in enumerate(self._tables.blocks):
            position = block * self.layers_per_block
            reached = self._extend(tables, costs, position, reached, peak_bytes)
            if block + 1 in self.depths:
                depth = self.depths.index(block + 1)
                totals = reached.costs + costs[self._tables.heads[depth]]
                if totals.min() < least:
                    least = float(totals.min())
                    best = reached.genes[totals.argmin()].copy()
                    best[0] = depth
        return None if least == np.inf else self.from_genes(best)

    @cached_property
    def _bytes(self) -> LayerBytes:
        """Bytes of the maps of all layers, and of an empty slot."""
        layers = self.all_layers
        columns = (
            [*(getattr(layer, name) for layer in layers), 0]
            for name in ("input_bytes", "output_bytes", "peak_bytes")
        )
        return LayerBytes(*(np.array(column, np.int64) for column in columns))

    @cached_property
    def _tables(self) -> _Tables[T]:
        index = LayerIndex()
        last = self.layer_channels[self.layers_per_block - 1 :: self.layers_per_block]
        entering = (self.input_shape[:1], *last)
        blocks = tuple(self._block_tables(index, b, entering[b]) for b in range(self.blocks))
        heads = [index.table(self._head, (depth,), last[depth - 1])[0] for depth in self.depths]
        return _Tables(index.layers, blocks, np.stack(heads))

    @cached_property
    def _sides(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of the map that enters each block, and of the last one."""
        _, height, width = self.input_shape
        return tuple((-(-height // 2**i), -(-width // 2**i)) for i in range(self.blocks + 1))

    def _head(self, depth: int, in_channels: int) -> HeadLayer:
        sides = self._sides[depth]
        pool = self.pool if self.pool <= min(sides) else 1
        return HeadLayer(in_channels, *sides, pool=pool, ways=self.ways, dtype=self.dtype)

    def _factors_at(self, position: int) -> tuple[float, ...]:
        edge = (position + 1) % self.layers_per_block == 0
        return (1.0,) if edge and not self.global_expansion else self.factors


def genes_at(position: int) -> slice:
    """Where the genes of the layer at a position lie."""
    start = 1 + position * _GENES_PER_LAYER
    return slice(start, start + _GENES_PER_LAYER)
