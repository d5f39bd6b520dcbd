"""The latency table at a glance: median latency by channels in and out."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from metanas.errors import TableError
from metanas.files import replacing
from metanas.profiling import Grid, LatencyTable, grids
from metanas.report import svg, wording

_SHORTEST_MS = 1e-6
_COLOURS = mpl.colormaps["viridis"].resampled(40)  # few enough for a bar of vectors
_DOTS_PER_INCH = 150


def heat_map(table: LatencyTable) -> str:
    """One panel a map size and kind of layer, as SVG; empty text if there is none to draw.

    Convolutions and sums are drawn; classifiers are few, and small beside them.
    """
    panels = _panels(table)
    if not panels:
        return ""
    with svg.chart_style():
        times = _times_ms(panels)
        return svg.to_svg(
            _figure(panels),
            name="table",
            label=f"Heat map of the median latency of {len(times)} kinds of layers, from "
            f"{wording.milliseconds(min(times))} to {wording.milliseconds(max(times))}",
        )


def write_heat_map(table: LatencyTable, path: Path) -> None:
    """The same as a PNG file.

    Raises:
        TableError: there is nothing to draw.
    """
    panels = _panels(table)
    if not panels:
        raise TableError(
            f"the table of {table.header.device.name} has no convolutions and no sums to draw",
            hint="metanas-profile show without --png shows what it has",
        )
    with svg.chart_style(), replacing(path) as part:
        _figure(panels).savefig(part, format="png", dpi=_DOTS_PER_INCH, facecolor="white")


def _panels(table: LatencyTable) -> list[Grid]:
    return [grid for grid in grids(table) if grid.kind != "head"]


def _times_ms(panels: list[Grid]) -> list[float]:
    return [ms for panel in panels for ms in panel.cells.values()]


def _figure(panels: list[Grid]) -> Figure:
    """A row of panels for each kind of layer, a column for each size of map."""
    sizes = sorted({panel.side for panel in panels}, reverse=True)
    kinds = sorted({_kind(panel) for panel in panels})
    found = {(_kind(panel), panel.side): panel for panel in panels}
    times = _times_ms(panels)
    lowest, highest = max(min(times), _SHORTEST_MS), max(*times, 2 * _SHORTEST_MS)
    norm = LogNorm(lowest, max(highest, lowest * 1.01))
    figure = Figure(figsize=(2.0 * len(sizes) + 1, 1.75 * len(kinds) + 0.6))
    all_axes = figure.subplots(len(kinds), len(sizes), squeeze=False)
    for kind, row in zip(kinds, all_axes, strict=True):
        for size, axes in zip(sizes, row, strict=True):
            if panel := found.get((kind, size)):
                _draw(axes, panel, norm)
            else:
                axes.set_visible(False)
    colours = ScalarMappable(norm, _COLOURS)
    bar = figure.colorbar(colours, ax=all_axes, label="median latency (ms)", pad=0.01, aspect=40)
    bar.formatter = FuncFormatter(lambda ms, _: f"{ms:g}")
    bar.outline.set_visible(False)
    return figure


def _kind(panel: Grid) -> tuple[str, str]:
    return panel.kind, panel.switches


def _draw(axes: Axes, panel: Grid, norm: LogNorm) -> None:
    rows, columns = panel.rows, panel.columns
    cells = np.array([[panel.cells.get((i, o), np.nan) for o in columns] for i in rows])
    axes.pcolormesh(np.clip(cells, _SHORTEST_MS, None), norm=norm, cmap=_COLOURS, linewidth=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=7)
    tilt = 90 if any(isinstance(label, str) for label in columns) else 0
    axes.set_xticks(np.arange(len(columns)) + 0.5, map(str, columns), rotation=tilt)
    axes.set_yticks(np.arange(len(rows)) + 0.5, [str(label) for label in rows])
    height, width = panel.side
    axes.set_title(f"{panel.kind}, {height}x{width}")
    axes.set_ylabel(panel.axes[0])
    axes.set_xlabel(panel.axes[1])
