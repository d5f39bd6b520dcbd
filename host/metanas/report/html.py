"""One self-contained page that tells a run: what was asked, found, promised and measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from metanas.errors import ArchitectureError, MissingRowsError
from metanas.files import write_text
from metanas.profiling import LatencyTable
from metanas.provenance import provenance
from metanas.report import wording
from metanas.report.comparison import ACCURACY_NOTE, comparison
from metanas.report.run_files import RunFiles, read_run
from metanas.spaces import make_space
from metanas_agent.layers import LayerSpec

PAGE_NAME = "report.html"
"""Of the page, inside its run folder."""


@dataclass(frozen=True, slots=True)
class DrawnLayer:
    """A link of the winner's chain: its layer, and what the table says that it adds."""

    layer: LayerSpec
    added_ms: float | None


def write_report(run_dir: Path) -> Path:
    """Write the page beside the run's files, from these files alone.

    Raises:
        RunFolderError: it is no run folder, or a file in it is malformed.
        TableError: the same for the latency table.
    """
    path = run_dir / PAGE_NAME
    write_text(path, render(read_run(run_dir)))
    return path


def render(run: RunFiles) -> str:
    """The page's text."""
    environment = Environment(
        loader=PackageLoader("metanas.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        milliseconds=wording.milliseconds,
        percent=wording.percent,
        count=wording.count,
        size=wording.size,
        accuracy=wording.accuracy,
    )
    shared = run.run.settings if run.run else {}
    return environment.get_template("page.html.j2").render(
        run=run,
        search_settings={k: v for k, v in run.search_settings.items() if k not in shared},
        rows=comparison(run),
        accuracy_note=ACCURACY_NOTE,
        chain=winning_chain(run),
        charts=_charts(run),
        written=provenance(),
    )


def winning_chain(run: RunFiles) -> list[DrawnLayer]:
    """The winner's layers, if the table says of which space it is; empty otherwise."""
    if run.search is None or run.table is None:
        return []
    for settings in run.table.header.spaces:
        try:
            layers = _layers(settings, run.search.winner.architecture)
        except (ArchitectureError, KeyError, TypeError, ValueError):
            continue  # the table may serve several spaces
        return [DrawnLayer(layer, _added_ms(run.table, layer)) for layer in layers]
    return []


def _layers(settings: dict[str, Any], winner: str) -> tuple[LayerSpec, ...]:
    switches = dict(settings)
    name, ways = switches.pop("space"), switches.pop("ways")
    channels, height, width = map(int, switches.pop("input").split("x"))
    space = make_space(name, input_shape=(channels, height, width), ways=ways, **switches)
    return space.layers(space.parse(winner))


def _added_ms(table: LatencyTable, layer: LayerSpec) -> float | None:
    try:
        return table.layer_ms(layer)
    except MissingRowsError:
        return None


def _charts(run: RunFiles) -> dict[str, Markup]:
    from metanas.report import charts, heat_map  # noqa: PLC0415 - matplotlib is slow

    drawn = {
        "search": charts.search_progress(run.rounds),
        "front": charts.cost_accuracy(run),
        "training": charts.training_curves(run.training),
        "latency": charts.predicted_measured(run.verification) if run.verification else "",
        "table": heat_map.heat_map(run.table) if run.table else "",
    }
    return {name: Markup(chart) for name, chart in drawn.items()}
