"""A run's result as a table in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from metanas.report import wording
from metanas.report.comparison import ACCURACY_NOTE, comparison
from metanas.report.run_files import RunFiles, read_run


def summary_table(run_dir: Path) -> Table:
    """The found network and those beside it: size, latency, accuracy with 95% intervals.

    Raises:
        RunFolderError: it is no run folder, or a file in it is malformed.
        TableError: the same for the latency table.
    """
    run = read_run(run_dir)
    table = Table(title=escape(run.folder.name), caption_justify="left")
    table.add_column("" if run.networks else "no network has been evaluated yet")
    for name in run.networks:
        table.add_column(escape(name), overflow="fold")
    if run.networks:
        table.add_row("architecture", *(escape(n.architecture) for n in run.networks.values()))
    for row in comparison(run):
        table.add_row(escape(row.figure), *row.cells)
    table.caption = escape("\n".join(_remarks(run)))
    return table


def _remarks(run: RunFiles) -> Iterator[str]:
    if run.networks:
        yield ACCURACY_NOTE
    if run.table:
        source, name = run.table.shared("source"), run.table.header.device.name
        yield f"Latency on {name} is predicted from {source} rows."
    if check := run.verification:
        agreement = check.agreement
        yield (
            f"Outputs {'pass' if check.outputs_pass else 'fail'}: device and host agree on the "
            f"top-1 of {wording.percent(agreement.top1)} of {agreement.images} images; logits "
            f"differ by at most {agreement.largest_share:.0e} of their range."
        )
        promised, taken = check.predicted, check.measured
        if promised:
            low, high = promised.low_ms, promised.high_ms
            yield f"Latency predicted {_spread(promised.latency_ms, low, high)}."
        yield f"Latency measured {_spread(taken.median_ms, taken.low_ms, taken.high_ms)}."
        slow = f"; device now / then = {check.slowdown:.2f}" if check.slowdown else ""
        ratio = f": measured / predicted = {check.ratio:.2f}{slow}" if check.ratio else ""
        yield f"Latency {check.latency_verdict}{ratio}."
        yield from check.reasons
        yield from check.remarks


def _spread(middle_ms: float, low_ms: float, high_ms: float) -> str:
    low, high = (wording.milliseconds(ms).partition(wording.SPACE)[0] for ms in (low_ms, high_ms))
    return f"{wording.milliseconds(middle_ms)} (95%: {low} to {high})"
