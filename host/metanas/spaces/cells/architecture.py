"""CellsArchitecture: a normal and a reduction cell, as values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple, Self

from metanas.errors import ArchitectureError

CELL_OPERATIONS = (
    *("maxpool3x3", "avgpool3x3", "skip"),
    *("conv1x5-5x1", "conv3x3", "sepconv3x3", "dilconv3x3"),
)
"""The candidates of METANAS (section 5.1), in its order."""

INPUTS = 2
"""What a cell reads: the cell before the previous one is input 0, the previous one is input 1."""

NODES = 3
"""Of a cell (section 5.1); the first one is input 2 of those behind it."""

PAIRS = tuple(tuple(combinations(range(INPUTS + node), 2)) for node in range(NODES))
"""Of each node, which two inputs it may have: of DARTS's two edges no two begin at one node."""

_EDGE_TEXT = re.compile(rf"({'|'.join(CELL_OPERATIONS)})@(\d)", re.ASCII)


class Edge(NamedTuple):
    """An operation and the number of the map that it reads; prints as `conv3x3@0`."""

    operation: str
    input: int

    def __str__(self) -> str:
        return f"{self.operation}@{self.input}"


Node = tuple[Edge, Edge]
"""The sum of two edges, the one with the lower input first."""

Cell = tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class CellsArchitecture:
    """Both cells, each of `NODES` nodes.

    Prints as the nodes of the normal cell, a colon, those of the reduction cell, each node as
    `conv3x3@0+skip@1`, and a comma between two.
    """

    normal: Cell
    reduction: Cell

    def __str__(self) -> str:
        return ":".join(map(_cell_text, (self.normal, self.reduction)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read back what was printed.

        Raises:
            ArchitectureError: the text is none.
        """
        try:
            normal, reduction = (_parse_cell(part) for part in text.strip().split(":"))
        except ValueError as error:
            raise ArchitectureError(
                f"not an architecture of cells: {text[:300]!r}",
                hint="write two cells of three nodes like conv3x3@0+skip@1,maxpool3x3@0+conv3x3@2,"
                "skip@1+sepconv3x3@3:...",
            ) from error
        return cls(normal, reduction)


def _cell_text(cell: Cell) -> str:
    return ",".join("+".join(map(str, node)) for node in cell)


def _parse_cell(text: str) -> Cell:
    nodes = text.split(",")
    return tuple(_parse_node(node, pairs) for node, pairs in zip(nodes, PAIRS, strict=True))


def _parse_node(text: str, pairs: tuple[tuple[int, ...], ...]) -> Node:
    first, second = (_parse_edge(edge) for edge in text.split("+"))
    if (first.input, second.input) not in pairs:
        raise ValueError(text)
    return first, second


def _parse_edge(text: str) -> Edge:
    match = _EDGE_TEXT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return Edge(match[1], int(match[2]))
