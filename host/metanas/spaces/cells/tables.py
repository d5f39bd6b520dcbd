"""Tables: the layers that cells may have, numbered, so that many networks are counted at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metanas.spaces.cells.architecture import CELL_OPERATIONS, INPUTS, NODES, PAIRS, Edge
from metanas.spaces.cells.plan import Frame
from metanas.spaces.layer_index import LayerIndex, Table
from metanas.spaces.space import Genes, LayerIndices
from metanas_agent.layers import OperationLayer

_PAIR_INPUTS = [np.array(pairs, np.int64) for pairs in PAIRS]


class CellTables(NamedTuple):
    """Numbers of a cell's layers.

    Args:
        preprocessing: of both inputs.
        edges: by (input, operation), -1 for what is no layer.
        add: of the sums.
        concat: of the end.
    """

    preprocessing: tuple[int, int]
    edges: Table
    add: int
    concat: int

    def indices(self, inputs: Genes, operations: Genes) -> LayerIndices:
        """The layers of many cells, (cells, layers of a cell), -1 where there is none.

        Args:
            inputs: that each edge reads, (cells, nodes, 2).
            operations: numbers of the edges' operations, of that shape.
        """
        count = len(inputs)
        edges = self.edges[inputs, operations]
        adds = np.full((count, NODES, 1), self.add)
        nodes = np.concatenate([edges, adds], axis=-1)
        begin = np.broadcast_to(self.preprocessing, (count, INPUTS))
        end = np.full((count, 1), self.concat)
        return np.concatenate([begin, nodes.reshape(count, NODES * nodes.shape[2]), end], axis=1)


def cell_tables(index: LayerIndex, frame: Frame) -> CellTables:
    """Number every layer that a cell there may have."""

    def number(layer: OperationLayer | None) -> int:
        return -1 if layer is None else int(index.table(lambda: layer))

    one, other = map(number, frame.preprocessing)
    edges = [
        [number(frame.operation(Edge(name, read))) for name in CELL_OPERATIONS]
        for read in range(INPUTS + NODES - 1)
    ]
    add, concat = index.table(lambda: frame.add), index.table(lambda: frame.concat(NODES))
    return CellTables((one, other), np.array(edges), int(add), int(concat))


def inputs_of(pairs: NDArray[np.int64]) -> Genes:
    """(cells, nodes, 2): the inputs that the pairs' numbers (cells, nodes) stand for."""
    columns = [table[pairs[:, node]] for node, table in enumerate(_PAIR_INPUTS)]
    return np.stack(columns, axis=1)


def pairs_of(inputs: Sequence[Sequence[int]]) -> list[int]:
    """The pair's number of each node of one cell."""
    return [known.index(tuple(pair)) for known, pair in zip(PAIRS, inputs, strict=True)]
