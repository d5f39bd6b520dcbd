"""A table at a glance: medians of alike layers, by what they differ in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from metanas.profiling.table.latency_table import LatencyTable
from metanas_agent.layers import (
    AddLayer,
    ConcatLayer,
    ConvLayer,
    HeadLayer,
    LayerSpec,
    OperationLayer,
    parse_layer,
)

Label = int | str


class Place(NamedTuple):
    """Which grid a layer stands in, and where.

    Args:
        kind: what the layers of the grid are, such as `3x3 convolution`.
        side: (height, width) of their inputs.
        switches: what else they have in common, such as `stride 1, pool 2`.
        row: label of the row.
        column: label of the column.
    """

    kind: str
    side: tuple[int, int]
    switches: str
    row: Label
    column: Label


class Grid(NamedTuple):
    """Medians of the layers of one kind at one place of a network, in ms.

    Args:
        kind: what the layers are.
        side: (height, width) of their inputs.
        switches: what else they have in common.
        axes: what rows and columns are.
        cells: median by (row, column), over what the layers there differ in beside.
    """

    kind: str
    side: tuple[int, int]
    switches: str
    axes: tuple[str, str]
    cells: dict[tuple[Label, Label], float]

    @property
    def title(self) -> str:
        """Such as `3x3 convolution at 28x28, stride 1, pool 2`."""
        height, width = self.side
        return f"{self.kind} at {height}x{width}, {self.switches}"

    @property
    def rows(self) -> list[Label]:
        """Labels, sorted."""
        return _sorted(row for row, _ in self.cells)

    @property
    def columns(self) -> list[Label]:
        """Labels, sorted."""
        return _sorted(column for _, column in self.cells)


def grids(table: LatencyTable) -> list[Grid]:
    """In the order of the table's rows; empty graphs stand in none."""
    found: dict[tuple[str, tuple[int, int], str], dict[tuple[Label, Label], list[float]]]
    found = defaultdict(lambda: defaultdict(list))
    for key, row in table.rows.items():
        if place := _place(parse_layer(key)):
            grid = found[place.kind, place.side, place.switches]
            grid[place.row, place.column].append(row.median_ms)
    return [
        Grid(*which, axes=_axes(which[0]), cells={at: median(ms) for at, ms in cells.items()})
        for which, cells in found.items()
    ]


def _place(layer: LayerSpec) -> Place | None:
    side = (layer.height, layer.width)
    if isinstance(layer, ConvLayer):
        kind = f"{layer.kernel}x{layer.kernel} convolution"
        switches = f"stride {layer.stride}, pool {layer.pool}"
        return Place(kind, side, switches, layer.in_channels, layer.out_channels)
    if isinstance(layer, AddLayer):
        return Place("sum", side, f"pool {layer.pool}", layer.in_channels, layer.activation)
    if isinstance(layer, OperationLayer):
        channels = f"{layer.in_channels} to {layer.out_channels}"
        return Place("operation", side, f"stride {layer.stride}", layer.operation, channels)
    if isinstance(layer, ConcatLayer):
        return Place("join", side, f"{layer.maps} maps", layer.in_channels, layer.output_shape[0])
    if isinstance(layer, HeadLayer):
        switches = f"{layer.pool}x{layer.pool} map"
        return Place("head", side, switches, layer.in_channels, layer.ways)
    return None


def _axes(kind: str) -> tuple[str, str]:
    columns = {"sum": "activation", "head": "classes", "operation": "channels"}
    rows = {"sum": "channels", "operation": "operation"}
    return (rows.get(kind, "channels in"), columns.get(kind, "channels out"))


def _sorted(labels: Iterator[Label]) -> list[Label]:
    """Numbers by size; names stay in their order."""
    distinct = list(dict.fromkeys(labels))
    return distinct if any(isinstance(label, str) for label in distinct) else sorted(distinct)
