"""matplotlib figures as SVG that lives inside a page and takes its colours from it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#010101"
MUTED = "#010102"
LINE = "#010103"
ACCENT = "#010104"
SECOND = "#010105"
GOOD = "#010106"
"""Stand-ins: the page's style sheet says what they are, in light and in dark."""

_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    ACCENT: "var(--accent)",
    SECOND: "var(--second)",
    GOOD: "var(--good)",
}
_ID = re.compile(r'(\bid="|url\(#|href="#)')
_NAMESPACE = re.compile(r'\sxmlns(:\w+)?="[^"]*"')
_SIZE = re.compile(r'\s(width|height)="[\d.]+pt"')
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 9,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 1.6,
}


@contextmanager
def chart_style() -> Iterator[None]:
    """Draw in the page's style, whatever style the user's matplotlib has."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def make_axes(width: float = 5.2, height: float = 3.0) -> tuple[Figure, Axes]:
    """An empty chart, sizes in inches."""
    figure = Figure(figsize=(width, height))
    return figure, figure.add_subplot()


def to_svg(figure: Figure, *, name: str, label: str) -> str:
    """An `<svg>` element. The same figure gives the same text.

    Args:
        figure: drawn with the colours above, inside `chart_style`.
        name: unique on the page; every id begins with it.
        label: what a screen reader says of the chart.
    """
    stream = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(stream, format="svg", metadata=nothing)
    svg = stream.getvalue()
    svg = _COMMENT.sub("", svg[svg.index("<svg") :])
    svg = _ID.sub(rf"\g<1>{name}-", svg)
    head, bracket, body = svg.partition(">")
    head = _SIZE.sub("", _NAMESPACE.sub("", head))
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, variable)
    return f'{head} role="img" aria-label="{escape(label)}"{bracket}{body}'.strip()
