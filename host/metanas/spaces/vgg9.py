"""The VGG9 space of H-Meta-NAS (section 3 and appendix A, table 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metanas.spaces.conv_choice import ConvArchitecture, ConvChoice
from metanas.spaces.conv_space import KERNELS, ConvSpace, Costs, Reached, genes_at
from metanas.spaces.layer_index import LayerIndex, Table
from metanas.spaces.space import Genes, LayerIndices
from metanas_agent.layers import ACTIVATIONS, ConvLayer

if TYPE_CHECKING:
    from metanas.spaces.network import Network


class VGG9Space(ConvSpace[Table]):
    """Up to four convolution layers, each a block of its own, then a classifier.

    `pooled` is a convolution at stride 1 then 2x2 max-pooling, `strided` one at stride 2. See
    `ConvSpace` for the arguments.
    """

    name = "vgg9"
    base_channels = (64, 64, 64, 64)
    factors = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.25)
    layers_per_block = 1

    @property
    def channels(self) -> tuple[int, ...]:
        """Alternatives of a layer; all four have the same."""
        return self.layer_channels[0]

    def chain(self, channels: int = 64) -> ConvArchitecture:
        """Four equal layers: MAML's hand-made network, which has 64 (or 48) channels."""
        return self.plain([channels] * self.blocks)

    def network(self, architecture: ConvArchitecture) -> Network:
        """A chain; each depth has a classifier of its own."""
        from metanas.spaces.sequential import SequentialNetwork  # noqa: PLC0415 - torch is slow

        return SequentialNetwork(self.layers(architecture))

    def _block(
        self, block: int, in_channels: int, choices: Sequence[ConvChoice]
    ) -> tuple[ConvLayer]:
        (choice,) = choices
        pooled = self.downsampling == "pooled"
        return (
            ConvLayer(
                in_channels,
                *self._sides[block],
                out_channels=choice.channels,
                kernel=choice.kernel,
                stride=1 if pooled else 2,
                activation=choice.activation,
                pool=2 if pooled else 1,
                dtype=self.dtype,
            ),
        )

    def _block_tables(self, index: LayerIndex, block: int, in_channels: Sequence[int]) -> Table:
        """By (channels in, kernel, channels, activation)."""

        def make(channels_in: int, kernel: int, channels: int, activation: str) -> ConvLayer:
            return self._block(block, channels_in, [ConvChoice(kernel, channels, activation)])[0]

        return index.table(make, in_channels, KERNELS, self.channels, ACTIVATIONS)

    def _block_indices(self, tables: Table, genes: Genes, channels_in: Genes) -> LayerIndices:
        kernel, channels, activation = genes[:, 0].T
        indices: LayerIndices = tables[channels_in, kernel, channels, activation]
        return indices[:, None]

    def _waiting_bytes(self, indices: LayerIndices) -> NDArray[np.int64]:
        """None: in a chain each layer reads only the map of the one before it."""
        return np.zeros_like(indices)

    def _extend(
        self,
        tables: Table,
        costs: Costs,
        position: int,
        reached: Reached,
        peak_bytes: float,  # noqa: ARG002 - no layer needs more than by itself
    ) -> Reached:
        ways = (reached.costs[:, None, None, None] + costs[tables]).transpose(2, 0, 1, 3)
        flat = ways.reshape(len(ways), -1)
        channels_in, kernels, activations = np.unravel_index(flat.argmin(1), ways.shape[1:])
        genes = reached.genes[channels_in]
        genes[:, genes_at(position)] = np.stack(
            [kernels, np.arange(len(ways)), activations], axis=1
        )
        return Reached(flat.min(1), genes)
