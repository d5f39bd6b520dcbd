"""The latency table at a glance: median latency by channels in and out."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from metanas.profiling.table import LatencyTable
from metanas.report import svg, wording
from metanas_agent.layers import ConvLayer, parse_layer

_Size = tuple[int, int]
_Channels = tuple[int, int]
_Panel = dict[_Channels, float]
"""(channels in, channels out) to the median latency over activations, in ms."""

_SHORTEST_MS = 1e-6
_COLOURS = mpl.colormaps["viridis"].resampled(40)  # few enough for a bar of vectors


def heat_map(table: LatencyTable) -> str:
    """One panel a map size and kernel; empty text if the table holds no convolution."""
    panels = _panels(table)
    if not panels:
        return ""
    sizes = sorted({size for size, _ in panels}, reverse=True)
    kernels = sorted({kernel for _, kernel in panels})
    times = [ms for panel in panels.values() for ms in panel.values()]
    lowest, highest = max(min(times), _SHORTEST_MS), max(*times, 2 * _SHORTEST_MS)
    norm = LogNorm(lowest, max(highest, lowest * 1.01))
    with svg.chart_style():
        figure = Figure(figsize=(2.0 * len(sizes) + 1, 1.75 * len(kernels) + 0.6))
        grid = figure.subplots(len(kernels), len(sizes), squeeze=False)
        for row, kernel in zip(grid, kernels, strict=True):
            for axes, size in zip(row, sizes, strict=True):
                _draw(axes, panels.get((size, kernel), {}), norm)
                axes.set_title(f"{size[0]}x{size[1]}, kernel {kernel}")
        for axes in grid[-1]:
            axes.set_xlabel("channels out")
        for axes in grid[:, 0]:
            axes.set_ylabel("channels in")
        colours = ScalarMappable(norm, _COLOURS)
        bar = figure.colorbar(colours, ax=grid, label="median latency (ms)", pad=0.01, aspect=40)
        bar.formatter = FuncFormatter(lambda ms, _: f"{ms:g}")
        bar.outline.set_visible(False)
        return svg.to_svg(
            figure,
            name="table",
            label=f"Heat map of the median latency of {len(times)} convolutions, from "
            f"{wording.milliseconds(min(times))} to {wording.milliseconds(max(times))}",
        )


def _panels(table: LatencyTable) -> dict[tuple[_Size, int], _Panel]:
    found: dict[tuple[_Size, int], dict[_Channels, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for key, row in table.rows.items():
        layer = parse_layer(key)
        if isinstance(layer, ConvLayer):
            panel = found[(layer.height, layer.width), layer.kernel]
            panel[layer.in_channels, layer.out_channels].append(row.median_ms)
    return {
        place: {channels: median(times) for channels, times in panel.items()}
        for place, panel in found.items()
    }


def _draw(axes: Axes, panel: _Panel, norm: LogNorm) -> None:
    if not panel:
        axes.set_visible(False)
        return
    inputs = sorted({channels for channels, _ in panel})
    outputs = sorted({channels for _, channels in panel})
    cells = np.array([[panel.get((i, o), np.nan) for o in outputs] for i in inputs])
    axes.pcolormesh(np.clip(cells, _SHORTEST_MS, None), norm=norm, cmap=_COLOURS, linewidth=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=7)
    axes.set_xticks(np.arange(len(outputs)) + 0.5, [str(channels) for channels in outputs])
    axes.set_yticks(np.arange(len(inputs)) + 0.5, [str(channels) for channels in inputs])
