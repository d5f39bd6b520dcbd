"""A run's result as a table in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from metanas.report.comparison import FIGURES, compared_networks
from metanas.report.run_files import RunFiles, read_run


def summary_table(run_dir: Path) -> Table:
    """The found network and the baseline: size, latency, accuracy with 95% intervals.

    Raises:
        RunFolderError: it is no run folder, or a file in it is malformed.
    """
    run = read_run(run_dir)
    networks = compared_networks(run)
    table = Table(title=escape(run_dir.name))
    table.add_column("" if networks else "no network has been evaluated yet")
    for network in networks:
        table.add_column(network.name, overflow="fold")
    if networks:
        table.add_row("architecture", *(escape(network.architecture) for network in networks))
    for number, figure in enumerate(FIGURES if networks else ()):
        table.add_row(figure, *(network.cells[number] for network in networks))
    table.caption = escape("; ".join(_remarks(run)))
    return table


def _remarks(run: RunFiles) -> Iterator[str]:
    if run.table:
        source, name = run.table.shared("source"), run.table.header.device.name
        yield f"latency predicted from {source} rows of {name}"
    if check := run.verification:
        yield f"outputs {'pass' if check.passed else 'fail'}, latency {check.latency_verdict}"
        yield from check.reasons
