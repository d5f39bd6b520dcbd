"""CellsSpace: what METANAS searches, a normal and a reduction cell."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metanas.errors import ArchitectureError
from metanas.spaces.cells.architecture import (
    CELL_OPERATIONS,
    NODES,
    PAIRS,
    Cell,
    CellsArchitecture,
    Edge,
)
from metanas.spaces.cells.plan import Frame, Step, make_plan
from metanas.spaces.cells.tables import CellTables, cell_tables, inputs_of, pairs_of
from metanas.spaces.layer_index import LayerIndex
from metanas.spaces.space import Genes, LayerIndices, SearchSpace
from metanas_agent.layers import HeadLayer, LayerSpec, OperationLayer

if TYPE_CHECKING:
    from metanas.spaces.network import Network

Shape = tuple[int, int, int]

_KINDS = 2
"""Normal, reduction."""

_GENES_PER_NODE = 3
"""The pair of inputs, the operation on the one, that on the other."""

_LEAST_CHANNELS = 4
"""With fewer, a separable convolution has more weights than the 1x5-5x1 one."""

_LARGEST = "conv1x5-5x1"

_WITH_WEIGHTS = tuple(name for name in CELL_OPERATIONS if not name.endswith("pool3x3"))
"""In one of the two cells; a skip has weights where it has a stride."""


class _Tables(NamedTuple):
    layers: tuple[LayerSpec, ...]
    stem: int
    cells: tuple[CellTables, ...]
    head: int


class CellsSpace(SearchSpace[CellsArchitecture]):
    """Two cells that are repeated: a normal one, and a reduction one that halves the map.

    As in METANAS (section 5.1): a cell has three nodes, each the sum of two operations on outputs
    of the two cells before or of earlier nodes, and gives all its nodes; every second cell is a
    reduction cell; all have the same number of channels. What the paper leaves open is as in DARTS
    (Liu et al. 2019), on which it builds: a ReLU stands before a convolution and batch-norm behind
    it, a 3 x 3 convolution of three times the channels before the first cell, 1 x 1 convolutions
    where a cell begins (over halved maps, two of stride 2), global average-pooling at the end.

    Two things are not as in METANAS's search: pooling has no batch-norm behind it, which only the
    mixing of operations needs (DARTS's own networks have none either); and `conv3x3` is the
    convolution that the paper names, where its authors' program has a separable one.

    The genes are, of each node of the normal cell and then of the reduction cell, its pair of
    inputs and the two operations: 4.5 x 10^12 architectures.

    Args:
        input_shape: (channels, height, width) of one image.
        ways: classes of a task.
        channels: of every map inside a cell, 4 or more; 28 and 96 in the paper.
        cells: how many there are, 2 or more; 4 and 5 in the paper.

    Raises:
        ArchitectureError: there are too few channels or cells.
    """

    name = "cells"
    nested = False

    def __init__(
        self,
        *,
        input_shape: tuple[int, int, int],
        ways: int,
        channels: int = 28,
        cells: int = 4,
    ) -> None:
        super().__init__(input_shape=input_shape, ways=ways)
        for what, given, least in (("channels", channels, _LEAST_CHANNELS), ("cells", cells, 2)):
            if given < least:
                raise ArchitectureError(f"cells: {what} is {given}", hint=f"use {least} or more")
        self.channels = channels
        self.cells = cells

    @property
    def settings(self) -> dict[str, str | int | bool]:
        """What makes this space what it is."""
        return super().settings | {"channels": self.channels, "cells": self.cells}

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Of each node's pair and operations, of the normal cell, then of the reduction cell."""
        operations = len(CELL_OPERATIONS)
        cell = [count for pairs in PAIRS for count in (len(pairs), operations, operations)]
        return tuple(cell * _KINDS)

    def active(self, genes: Genes) -> NDArray[np.bool_]:
        """All of them."""
        return np.ones(genes.shape, bool)

    def to_genes(self, architecture: CellsArchitecture) -> Genes:
        """Genes of one architecture, shape (18,)."""
        genes = []
        for cell in (architecture.normal, architecture.reduction):
            pairs = pairs_of([[edge.input for edge in node] for node in cell])
            for pair, node in zip(pairs, cell, strict=True):
                genes += [pair, *(CELL_OPERATIONS.index(edge.operation) for edge in node)]
        return np.array(genes, np.int64)

    def from_genes(self, genes: Genes) -> CellsArchitecture:
        """The architecture of one row of genes."""
        self.check(genes)
        normal, reduction = genes.reshape(_KINDS, NODES, _GENES_PER_NODE).tolist()
        return CellsArchitecture(_cell(normal), _cell(reduction))

    def parse(self, text: str) -> CellsArchitecture:
        """Read an architecture back from its text.

        Raises:
            ArchitectureError: the text is none.
        """
        return CellsArchitecture.parse(text)

    def plan(self, architecture: CellsArchitecture) -> tuple[Step, ...]:
        """Its layers with what each of them reads, in order of execution."""
        cells = [(architecture.normal, architecture.reduction)[kind] for kind in self._kinds]
        return make_plan(self._stem, self._frames, cells, self._head)

    def layers(self, architecture: CellsArchitecture) -> tuple[LayerSpec, ...]:
        """The stem, those of each cell, the head."""
        return tuple(step.layer for step in self.plan(architecture))

    def reads(self, architecture: CellsArchitecture) -> tuple[tuple[int, ...], ...]:
        """Numbers of the maps that each layer reads."""
        return tuple(step.reads for step in self.plan(architecture))

    def network(self, architecture: CellsArchitecture) -> Network:
        """Each cell, and each operation on each edge of it, has weights of its own."""
        from metanas.spaces.cells.network import CellsNetwork  # noqa: PLC0415 - torch is slow

        return CellsNetwork(self.plan(architecture))

    def uniform(self, operation: str, pairs: tuple[int, ...] = (0,) * NODES) -> CellsArchitecture:
        """An architecture with one operation everywhere, each node reading the pair of a number."""
        cell = _cell([[pair, *[CELL_OPERATIONS.index(operation)] * 2] for pair in pairs])
        return CellsArchitecture(cell, cell)

    def largest(self) -> CellsArchitecture:
        """The 1x5-5x1 convolution everywhere; which inputs it reads changes neither size nor work.

        The others are no parts of it: it has no weights of other operations and edges.
        """
        return self.uniform(_LARGEST)

    def corners(self) -> tuple[CellsArchitecture, ...]:
        """Every operation with weights on every edge: two ways to have all edges between them."""
        first, last = (0,) * NODES, tuple(len(pairs) - 1 for pairs in PAIRS)
        return tuple(self.uniform(name, pairs) for name in _WITH_WEIGHTS for pairs in (first, last))

    @cached_property
    def all_layers(self) -> tuple[LayerSpec, ...]:
        """Every layer that some architecture has."""
        return self._tables.layers

    def layer_indices(self, genes: Genes) -> LayerIndices:
        """(architectures, layers of the stem, all cells and the head)."""
        tables, count = self._tables, len(genes)
        inputs, operations = _decoded(genes)
        cells = [
            cell.indices(inputs[:, kind], operations[:, kind])
            for kind, cell in zip(self._kinds, tables.cells, strict=True)
        ]
        stem, head = (np.full((count, 1), end) for end in (tables.stem, tables.head))
        return np.concatenate([stem, *cells, head], axis=1)

    def peak_bytes(self, genes: Genes) -> NDArray[np.int64]:
        """Most bytes of maps that live at one moment: the same for every architecture.

        It is where the first cell joins its nodes, while the stem's map waits for the second cell:
        nine maps of one size. Whatever the operations, no more than that lives at any other moment:
        at most the three parts of the previous cell, two inputs, one node, one finished edge and
        two maps of an operation under way.
        """
        return np.full(len(genes), self._peak_bytes)

    def cheapest_within(
        self, costs: NDArray[np.float64], peak_bytes: float
    ) -> CellsArchitecture | None:
        """Node by node: what one of them is changes no other's cost.

        Args:
            costs: one cost a layer, aligned to `all_layers`.
            peak_bytes: most bytes of maps at any moment.
        """
        if self._peak_bytes > peak_bytes:
            return None
        padded = np.append(costs, 0.0)  # index -1, a skip, costs nothing
        genes = [
            gene
            for kind in range(_KINDS)
            for gene in _cheapest_cell(self._edge_costs(padded, kind))
        ]
        return self.from_genes(np.array(genes))

    def _edge_costs(self, padded: NDArray[np.float64], kind: int) -> NDArray[np.float64]:
        """What edges cost wherever a cell of a kind stands, by (input, operation)."""
        total: NDArray[np.float64] = np.sum(
            [
                padded[cell.edges]
                for stands, cell in zip(self._kinds, self._tables.cells, strict=True)
                if stands == kind
            ],
            axis=0,
        )
        return total

    @property
    def _kinds(self) -> tuple[int, ...]:
        """Of each cell, 0 for a normal one and 1 for a reduction cell."""
        return tuple(number % _KINDS for number in range(self.cells))

    @property
    def _stem(self) -> OperationLayer:
        channels = NODES * self.channels
        return OperationLayer(*self.input_shape, out_channels=channels, operation="stem3x3")

    @property
    def _head(self) -> HeadLayer:
        frame = self._frames[-1]
        shape = frame.concat(NODES).output_shape
        return HeadLayer(*shape, pool=1, ways=self.ways)

    @cached_property
    def _frames(self) -> tuple[Frame, ...]:
        frames: list[Frame] = []
        shape = before = self._stem.output_shape  # of the previous cell, of the one before it
        for number in range(self.cells):
            preprocessing = self._preprocessed(before, shape), self._preprocessed(shape, shape)
            name, reduction = f"cell{number}", self._kinds[number] == 1
            frame = Frame(name, reduction, preprocessing, self.channels, shape[1:])
            frames.append(frame)
            before, shape = shape, frame.concat(NODES).output_shape
        return tuple(frames)

    def _preprocessed(self, given: Shape, wanted: Shape) -> OperationLayer:
        """How a cell reads a map that may be twice as high and wide as the previous cell's."""
        operation, stride = ("conv1x1", 1) if given == wanted else ("halves1x1", 2)
        return OperationLayer(
            *given, out_channels=self.channels, operation=operation, stride=stride
        )

    @cached_property
    def _tables(self) -> _Tables:
        index = LayerIndex()
        stem = int(index.table(lambda: self._stem))
        cells = tuple(cell_tables(index, frame) for frame in self._frames)
        head = int(index.table(lambda: self._head))
        return _Tables(index.layers, stem, cells, head)

    @property
    def _peak_bytes(self) -> int:
        end = self._frames[0].concat(NODES)
        return max(self._stem.peak_bytes, self._stem.output_bytes + end.peak_bytes)


def _cell(genes: list[list[int]]) -> Cell:
    """Of (nodes, 3) genes."""
    nodes = []
    for pairs, (pair, *operations) in zip(PAIRS, genes, strict=True):
        one, other = map(Edge, (CELL_OPERATIONS[number] for number in operations), pairs[pair])
        nodes.append((one, other))
    return tuple(nodes)


def _cheapest_cell(costs: NDArray[np.float64]) -> list[int]:
    """Genes of the cell with the least sum over its edges, by (input, operation)."""
    best, least = costs.argmin(axis=1), costs.min(axis=1)
    genes: list[int] = []
    for pairs in PAIRS:
        sums = [least[list(pair)].sum() for pair in pairs]
        pair = int(np.argmin(sums))
        genes += [pair, *best[list(pairs[pair])].tolist()]
    return genes


def _decoded(genes: Genes) -> tuple[Genes, Genes]:
    """Inputs and operations of the edges, (architectures, kinds, nodes, 2) each."""
    nodes = genes.reshape(len(genes), _KINDS, NODES, _GENES_PER_NODE)
    inputs = [inputs_of(nodes[:, kind, :, 0]) for kind in range(_KINDS)]
    return np.stack(inputs, axis=1), nodes[..., 1:]
