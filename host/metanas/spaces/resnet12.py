"""The ResNet12 space of H-Meta-NAS (section 3 and appendix A, table 9)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metanas.spaces.conv_choice import ConvArchitecture, ConvChoice
from metanas.spaces.conv_space import KERNELS, ConvSpace, Costs, Reached, genes_at
from metanas.spaces.layer_index import LayerIndex, Table
from metanas.spaces.space import Genes, LayerIndices
from metanas_agent.layers import ACTIVATIONS, AddLayer, ConvLayer, LayerSpec

if TYPE_CHECKING:
    from metanas.spaces.network import Network


class _BlockTables(NamedTuple):
    """Numbers of a block's layers.

    Args:
        convs: of the first two, each by (channels in, kernel, channels, activation).
        last: by (channels in, kernel, channels).
        shortcut: by (channels into the block, channels).
        add: by (channels, activation).
    """

    convs: tuple[Table, Table]
    last: Table
    shortcut: Table
    add: Table


class ResNet12Space(ConvSpace[_BlockTables]):
    """Up to four residual blocks of three convolution layers, then a classifier.

    Each block adds its input, through a 1 x 1 convolution, to its third convolution, and the third
    layer's activation is behind the sum, as in the ResNet-12 of few-shot learning (Oreshkin et al.
    2018, Lee et al. 2019). `pooled` is 2x2 max-pooling behind the block, as there; `strided`
    is stride 2 in the first convolution and the shortcut, as table 9 says. See `ConvSpace` for the
    arguments.

    The paper counts 2 x 10^24 sub-networks: 108^12, every layer's kernel, channels and activation
    chosen freely.
    """

    name = "resnet12"
    base_channels = (32,) * 3 + (64,) * 3 + (128,) * 3 + (256,) * 3
    factors = (0.25, 0.5, 1.0, 1.5, 1.75, 2.0)
    layers_per_block = 3

    def network(self, architecture: ConvArchitecture) -> Network:
        """Residual blocks; each depth has a classifier of its own."""
        from metanas.spaces.residual import ResidualNetwork  # noqa: PLC0415 - torch is slow

        return ResidualNetwork(self.layers(architecture))

    def _block(
        self, block: int, in_channels: int, choices: Sequence[ConvChoice]
    ) -> tuple[LayerSpec, ...]:
        """The three convolutions, the shortcut, the sum."""
        first, second, third = choices
        return (
            self._first(block, in_channels, first.kernel, first.channels, first.activation),
            self._inner(block, first.channels, second.kernel, second.channels, second.activation),
            self._inner(block, second.channels, third.kernel, third.channels),
            self._shortcut(block, in_channels, third.channels),
            self._add(block, third.channels, third.activation),
        )

    def _first(
        self, block: int, in_channels: int, kernel: int, channels: int, activation: str = "none"
    ) -> ConvLayer:
        return ConvLayer(
            in_channels,
            *self._sides[block],
            out_channels=channels,
            kernel=kernel,
            stride=1 if self.downsampling == "pooled" else 2,
            activation=activation,
            dtype=self.dtype,
        )

    def _inner(
        self, block: int, in_channels: int, kernel: int, channels: int, activation: str = "none"
    ) -> ConvLayer:
        return ConvLayer(
            in_channels,
            *self._inner_sides(block),
            out_channels=channels,
            kernel=kernel,
            activation=activation,
            dtype=self.dtype,
        )

    def _shortcut(self, block: int, in_channels: int, channels: int) -> ConvLayer:
        return self._first(block, in_channels, 1, channels)

    def _add(self, block: int, channels: int, activation: str) -> AddLayer:
        pool = 2 if self.downsampling == "pooled" else 1
        sides = self._inner_sides(block)
        return AddLayer(channels, *sides, activation=activation, pool=pool, dtype=self.dtype)

    def _inner_sides(self, block: int) -> tuple[int, int]:
        return self._sides[block if self.downsampling == "pooled" else block + 1]

    def _block_tables(
        self, index: LayerIndex, block: int, in_channels: Sequence[int]
    ) -> _BlockTables:
        first, inner, shortcut, add = (
            partial(make, block) for make in (self._first, self._inner, self._shortcut, self._add)
        )
        start = block * self.layers_per_block
        one, two, three = self.layer_channels[start : start + self.layers_per_block]
        return _BlockTables(
            convs=(
                index.table(first, in_channels, KERNELS, one, ACTIVATIONS),
                index.table(inner, one, KERNELS, two, ACTIVATIONS),
            ),
            last=index.table(inner, two, KERNELS, three),
            shortcut=index.table(shortcut, in_channels, three),
            add=index.table(add, three, ACTIVATIONS),
        )

    def _block_indices(
        self, tables: _BlockTables, genes: Genes, channels_in: Genes
    ) -> LayerIndices:
        (k1, c1, a1), (k2, c2, a2), (k3, c3, a3) = genes.transpose(1, 2, 0)
        first, second = tables.convs
        return np.stack(
            [
                first[channels_in, k1, c1, a1],
                second[c1, k2, c2, a2],
                tables.last[c2, k3, c3],
                tables.shortcut[channels_in, c3],
                tables.add[c3, a3],
            ],
            axis=1,
        )

    def _waiting_bytes(self, indices: LayerIndices) -> NDArray[np.int64]:
        """The block's input waits for the shortcut, and what the convolutions made for the sum."""
        shortcut = indices[..., 3]
        entering, made = self._bytes.input[shortcut], self._bytes.output[shortcut]
        nothing = np.zeros_like(made)
        return np.stack([nothing, entering, entering, made, nothing], axis=-1)

    def _peaks(self, tables: _BlockTables) -> NDArray[np.int64]:
        """Most bytes of maps at one moment, by channels into the block and of its three layers.

        Kernels and activations change no map. The first convolution and the sum keep nothing
        waiting, so that what they need by themselves is all.
        """
        _, second = tables.convs
        peak = self._bytes.peak
        entering = self._bytes.input[tables.shortcut[:, 0]]
        inner = np.maximum(peak[second[:, 0, :, 0]][:, :, None], peak[tables.last[:, 0]])
        shortcut = peak[tables.shortcut] + self._bytes.output[tables.shortcut]
        peaks: NDArray[np.int64] = np.maximum(
            entering[:, None, None, None] + inner, shortcut[:, None, None, :]
        )
        return peaks

    def _extend(
        self, tables: _BlockTables, costs: Costs, position: int, reached: Reached, peak_bytes: float
    ) -> Reached:
        add = costs[tables.add]
        first, second, last = (
            _cheapest_convs(costs[table]) for table in (*tables.convs, tables.last[..., None])
        )
        through = (
            (reached.costs[:, None] + first.costs)[:, :, None, None]
            + second.costs[:, :, None]
            + last.costs
            + costs[tables.shortcut][:, None, None, :]
            + add.min(axis=1)
        )
        if peak_bytes < np.inf:
            through[self._peaks(tables) > peak_bytes] = np.inf
        through = through.transpose(3, 0, 1, 2)  # by (channels out, channels in, first's, second's)
        flat = through.reshape(len(through), -1)
        ends = np.arange(len(through))
        path = (*np.unravel_index(flat.argmin(1), through.shape[1:]), ends)
        genes = reached.genes[path[0]]
        for i, conv in enumerate((first, second, last)):
            kernels, activations = conv.kernels[path[i : i + 2]], conv.activations[path[i : i + 2]]
            if conv is last:
                activations = add.argmin(axis=1)  # the third layer's is behind the sum
            genes[:, genes_at(position + i)] = np.stack([kernels, path[i + 1], activations], axis=1)
        return Reached(flat.min(1), genes)


class _CheapestConvs(NamedTuple):
    """The cheapest convolution for every (channels in, channels): its cost and choices."""

    costs: Costs
    kernels: Table
    activations: Table


def _cheapest_convs(costs: Costs) -> _CheapestConvs:
    """Out of costs by (channels in, kernel, channels, activation)."""
    activations = costs.shape[-1]
    by_channels = costs.transpose(0, 2, 1, 3).reshape(costs.shape[0], costs.shape[2], -1)
    return _CheapestConvs(by_channels.min(-1), *np.divmod(by_channels.argmin(-1), activations))
