"""Earlier: the table that a sweep goes on from, or would replace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from metanas.errors import TableError
from metanas.profiling.table import LatencyTable, read_table
from metanas.profiling.timings import Journal, Making, check_same_making, making_of_table
from metanas_agent.layers import LayerSpec


def read_earlier(path: Path, making: Making) -> LatencyTable | None:
    """The table that a sweep goes on from, None where there is none.

    Raises:
        TableMismatchError: it was made in another way.
        TableError: it is broken.
    """
    if not path.exists():
        return None
    table = read_table(path)
    check_same_making(path, making_of_table(table), making)
    return table


def refuse_to_lose_rows(out: Path, journal: Journal) -> None:
    """See that a fresh sweep, ended where its journal is now, would have all rows of the table.

    Raises:
        TableError: it would not.
    """
    try:
        rows = read_table(out).rows
    except TableError:
        return  # there is none, or none that could be read
    lost = rows.keys() - {timing.row.key for timing in journal.timings if timing.purpose == "row"}
    if lost:
        raise TableError(
            f"starting over within a budget could lose {len(lost)} rows of {out}",
            hint="leave out --budget, or give another --out",
        )


def unsettled(
    layers: Mapping[str, LayerSpec], journal: Journal, earlier: LatencyTable | None
) -> list[LayerSpec]:
    """What the table lacks, or has throttled, or what the journal is at work on."""
    begun = {timing.row.key for timing in journal.timings if timing.purpose == "row"}
    rows = earlier.rows if earlier else {}
    settled = {key for key, row in rows.items() if row.verdict != "throttled"} - begun
    return [layer for key, layer in layers.items() if key not in settled]
