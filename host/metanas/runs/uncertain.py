"""What a search's answer rests on is measured before it answers, where it was only estimated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from metanas.errors import MeasurementFailedError
from metanas.profiling import LatencyTable, read_table
from metanas.profiling.estimate import replace_estimated, uncertain
from metanas.runs.folder import RunFolder
from metanas_agent.layers import LayerSpec

MeasureRows = Callable[[LatencyTable, Sequence[LayerSpec]], LatencyTable]
"""Measures layers on the device that a table is of; gives a table that has them."""


def measure_uncertain(folder: RunFolder, architectures: Iterable[str], measure: MeasureRows) -> int:
    """Measure the estimated, uncertain rows that some architectures use, in all tables of a run.

    Args:
        folder: of the run; the measured rows take the place of the estimated ones in its tables.
        architectures: their texts.
        measure: called once for each table that has such rows.

    Returns:
        How many rows were measured.

    Raises:
        MeasurementFailedError: a row could not be measured, so the answer would rest on a guess.
        TableMismatchError: what was measured is of another device than the table.
    """
    space = folder.priced_space(folder.settings.load_data())
    layers = [layer for text in architectures for layer in space.layers(space.parse(text))]
    count = 0
    for device, path in folder.tables.items():
        table = read_table(path)
        asked = uncertain(table, layers)
        if not asked:
            continue
        better = replace_estimated(table, measure(table, asked))
        if lacking := [layer.key for layer in asked if better.row(layer).source == "estimated"]:
            raise MeasurementFailedError(
                f"{table.header.device.name} could not time {len(lacking)} estimated rows: "
                f"{lacking[0]}",
                hint="metanas-profile doctor says what the device lacks",
            )
        folder.replace_table(device, better)
        count += len(asked)
    return count
