"""How latency tables look in a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from metanas.cli.shell import printable
from metanas.profiling import Grid, LatencyTable, TableDiff, grids
from metanas_agent.measurement import VERDICTS

_MOST_CHANGES = 20


def verdict_counts(table: LatencyTable) -> dict[str, int]:
    """How many rows have each verdict."""
    counts = Counter(row.verdict for row in table.rows.values())
    return {verdict: counts[verdict] for verdict in VERDICTS}


def show_table(console: Console, table: LatencyTable, *, heat_map: bool) -> None:
    """Where the table comes from and how far it can be trusted, then its heat maps."""
    facts = Table.grid(padding=(0, 2))
    for name, value in _facts(table):
        facts.add_row(Text(name, style="bold"), Text(value))
    console.print(facts)
    if heat_map:
        for grid in grids(table):
            console.print(_heat_map(grid))


def show_list(console: Console, heads: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """One line a table, its name first: people copy that."""
    if not heads:
        message = f"no tables in {folder}; metanas-profile --device local makes one"
        console.print(message, soft_wrap=True)
        return
    listing = Table("table", "source", Column("rows", justify="right"), "made", "device", box=None)
    for path, head in heads.items():
        name = Text(printable(Path(path).name))
        if "error" in head:
            listing.add_row(name, Text("broken file", style="red"))
            continue
        made = str(head.get("made", {}).get("made", ""))
        device = str(head.get("device", {}).get("processor", ""))
        cells = (str(head.get("source", "")), str(head["rows"]), made, device)
        listing.add_row(name, *(Text(printable(cell)) for cell in cells))
    console.print(listing)


def broken_tables(heads: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A line for each of those files that are no tables, or broken ones: what is wrong."""
    return (f"error: {head['error']}" for head in heads.values() if "error" in head)


def show_diff(console: Console, found: TableDiff) -> None:
    """How much the tables have in common, then the largest changes that are more than noise."""
    if found.removed or found.added:
        console.print(
            f"{len(found.removed)} layers only in the first, {len(found.added)} only in the second",
            highlight=False,
            soft_wrap=True,
        )
    beyond = found.beyond_noise
    before, after = found.spreads
    console.print(
        f"{len(found.changes)} layers in both: median change {found.median_change:+.1%}, "
        f"{len(beyond)} beyond noise, {len(found.changes) - len(beyond)} within "
        f"(intervals, and sentinels of ±{before:.1%} and ±{after:.1%})",
        highlight=False,
        soft_wrap=True,
    )
    if beyond:
        listing = Table("layer", "before ms", "after ms", "change", box=None)
        for change in beyond[:_MOST_CHANGES]:
            style = "red" if change.change > 0 else "green"
            times = (f"{change.before_ms:.4g}", f"{change.after_ms:.4g}")
            listing.add_row(change.key, *times, Text(f"{change.change:+.1%}", style=style))
        console.print(listing)
    if len(beyond) > _MOST_CHANGES:
        console.print(f"and {len(beyond) - _MOST_CHANGES} more; --json has them all")


def few_in_common(found: TableDiff) -> str:
    """What to say where most layers of the larger table are not in the other; else empty."""
    common = len(found.changes)
    most = common + max(len(found.removed), len(found.added))
    if 2 * common >= most:
        return ""
    return f"only {common} of {most} layers are in both: are the tables whole, and of one space?"


def _facts(table: LatencyTable) -> Iterator[tuple[str, str]]:
    header = table.header
    device = header.device
    yield "device", f"{device.name}: {device.processor}, {device.machine}, {device.system}"
    rows = table.rows.values()
    sources = Counter(row.source for row in rows)
    yield "rows", ", ".join(f"{count} {source}" for source, count in sources.items()) or "none"
    yield "runtime", f"{table.shared('runtime')} {table.shared('runtime_version')}"
    for space in header.spaces:
        yield "space", ", ".join(f"{name} {value}" for name, value in space.items())
    counts = verdict_counts(table)
    yield "verdicts", ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    if header.left_out:
        reasons = Counter(header.left_out.values())
        yield "left out", ", ".join(f"{count} ({why})" for why, count in reasons.items())
    if with_energy := sum(row.energy_mj is not None for row in rows):
        yield "energy", f"of {with_energy} rows"
    if calibration := header.calibration:
        yield (
            "calibration",
            f"{calibration.formula}, from "
            f"{calibration.networks} networks: mean error {calibration.mean_error:.1%}",
        )
    if sentinel := header.sentinel:
        yield (
            "sentinel",
            f"{sentinel.key}: {sentinel.median_ms:.4g} ms ±{sentinel.spread:.1%} "
            f"over {sentinel.timings} timings",
        )
    yield "made", f"{header.made.get('made')} by {header.made.get('command')}"


def _heat_map(grid: Grid) -> Table:
    slowest = max(grid.cells.values())
    heat = Table(title=f"{grid.title} (ms)", title_justify="left", box=None, padding=(0, 1))
    heat.add_column(" \\ ".join(axis.removeprefix("channels ") for axis in grid.axes), style="bold")
    for column in grid.columns:
        heat.add_column(str(column), justify="right")
    for row in grid.rows:
        cells = (_cell(grid.cells.get((row, column)), slowest) for column in grid.columns)
        heat.add_row(str(row), *cells)
    return heat


def _cell(median_ms: float | None, slowest_ms: float) -> Text:
    if median_ms is None:
        return Text("-", style="dim")
    share = median_ms / slowest_ms if slowest_ms else 0.0
    red, green = int(255 * min(1, 2 * share)), int(255 * min(1, 2 - 2 * share))
    return Text(f"{median_ms:.3g}", style=f"rgb({red},{green},80)")
