"""Plan: the layers of an architecture of cells, and what each of them reads.

Maps are numbered: 0 is the image, n the output of step n - 1. A skip that changes no size is no
step; whoever reads its output reads its input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from metanas.spaces.cells.architecture import INPUTS, Cell, Edge
from metanas_agent.layers import AddLayer, ConcatLayer, HeadLayer, LayerSpec, OperationLayer


class Frame(NamedTuple):
    """Where a cell stands: what is the same for whatever cell is there.

    Args:
        name: such as `cell0`.
        reduction: whether it is a reduction cell.
        preprocessing: of its two inputs, to maps of one size.
        channels: of every map inside.
        sides: (height, width) of the maps that the operations on its inputs read.
    """

    name: str
    reduction: bool
    preprocessing: tuple[OperationLayer, OperationLayer]
    channels: int
    sides: tuple[int, int]

    @property
    def inner_sides(self) -> tuple[int, int]:
        """(height, width) of the nodes."""
        height, width = self.sides
        return (-(-height // 2), -(-width // 2)) if self.reduction else self.sides

    @property
    def add(self) -> AddLayer:
        """The sum that a node is."""
        return AddLayer(self.channels, *self.inner_sides, activation="none")

    def concat(self, nodes: int) -> ConcatLayer:
        """What the cell gives."""
        return ConcatLayer(self.channels, *self.inner_sides, maps=nodes)

    def operation(self, edge: Edge) -> OperationLayer | None:
        """The edge's layer, None where it does nothing.

        In a reduction cell the operations on the cell's inputs have stride 2.
        """
        outer = edge.input < INPUTS
        stride = 2 if outer and self.reduction else 1
        name = edge.operation
        if name == "skip":
            if stride == 1:
                return None
            name = "halves1x1"
        sides = self.sides if outer else self.inner_sides
        return OperationLayer(
            self.channels, *sides, out_channels=self.channels, operation=name, stride=stride
        )


class Step(NamedTuple):
    """A layer that is run.

    Args:
        name: of its parameters; a super-network's networks share those of one name.
        layer: what it computes.
        reads: numbers of the maps.
    """

    name: str
    layer: LayerSpec
    reads: tuple[int, ...]


def make_plan(
    stem: OperationLayer, frames: Sequence[Frame], cells: Sequence[Cell], head: HeadLayer
) -> tuple[Step, ...]:
    """The steps of a network, in order of execution.

    Args:
        stem: that reads the image.
        frames: where the cells stand.
        cells: one a frame.
        head: the classifier.
    """
    steps = [Step("stem", stem, (0,))]
    before, previous = 1, 1
    for frame, cell in zip(frames, cells, strict=True):
        steps += _cell_steps(frame, cell, (before, previous), len(steps) + 1)
        before, previous = previous, len(steps)
    return (*steps, Step("head", head, (previous,)))


def _cell_steps(frame: Frame, cell: Cell, reads: tuple[int, int], number: int) -> Iterator[Step]:
    """Those of one cell, the output of the first of which is the map of that number."""
    maps = []
    for which, layer in enumerate(frame.preprocessing):
        yield Step(f"{frame.name}.input{which}", layer, (reads[which],))
        maps.append(number + which)
    number += len(maps)
    for node in cell:
        terms = []
        for edge in node:
            operation = frame.operation(edge)
            if operation is None:
                terms.append(maps[edge.input])
                continue
            name = f"{frame.name}.edge{edge.input}to{len(maps)}.{edge.operation}"
            yield Step(name, operation, (maps[edge.input],))
            terms.append(number)
            number += 1
        yield Step(f"{frame.name}.node{len(maps)}", frame.add, tuple(terms))
        maps.append(number)
        number += 1
    nodes = tuple(maps[INPUTS:])
    yield Step(f"{frame.name}.output", frame.concat(len(nodes)), nodes)
