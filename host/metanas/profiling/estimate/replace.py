"""Estimated rows give way to measured ones, and what is still uncertain is named."""

from __future__ import annotations

from collections.abc import Iterable

from metanas.errors import TableMismatchError
from metanas.profiling.table import CALL, LatencyTable
from metanas_agent.layers import LayerSpec

UNCERTAIN = 0.05
"""An estimated row whose half interval is a larger share of its median is uncertain."""


def uncertain(table: LatencyTable, layers: Iterable[LayerSpec]) -> list[LayerSpec]:
    """The layers whose rows are estimated, and not to within 5%."""
    found = ((layer, table.row(layer)) for layer in dict.fromkeys((CALL, *layers)))
    return [
        layer
        for layer, row in found
        if row.source == "estimated" and row.relative_interval > UNCERTAIN
    ]


def replace_estimated(table: LatencyTable, measured: LatencyTable) -> LatencyTable:
    """The table with every estimated row replaced for which there is a measured one.

    Raises:
        TableMismatchError: the rows are of another device, runtime or method.
    """
    ours, theirs = table.header.device, measured.header.device
    if (ours.name, ours.machine) != (theirs.name, theirs.machine):
        raise TableMismatchError(
            f"the table is of {ours.name} ({ours.machine}), the measured rows are of "
            f"{theirs.name} ({theirs.machine})",
            hint="measure on the device that the table was estimated for",
        )
    better = {
        key: measured.rows[key]
        for key, row in table.rows.items()
        if row.source == "estimated"
        and key in measured.rows
        and measured.rows[key].verdict != "throttled"
    }
    return LatencyTable(table.header, {**table.rows, **better})
