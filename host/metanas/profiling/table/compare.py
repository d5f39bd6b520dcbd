"""Two tables side by side: what changed, and what they hold together."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from metanas.errors import TableMismatchError
from metanas.profiling.table.header import Scalar, TableHeader
from metanas.profiling.table.latency_table import LatencyTable
from metanas.provenance import provenance
from metanas_agent.measurement import Measurement


class RowChange(NamedTuple):
    """One layer in two tables.

    Args:
        key: the layer's key.
        before_ms: median in the first table.
        after_ms: median in the second.
        change: relative, such as 0.1 for 10% slower; infinite where it was 0 before.
        beyond_noise: whether the 95% intervals of the medians do not touch, even when each is
            widened by the spread of its table's sentinel.
    """

    key: str
    before_ms: float
    after_ms: float
    change: float
    beyond_noise: bool


@dataclass(frozen=True, slots=True)
class TableDiff:
    """What changed from one table to another.

    Args:
        changes: of every layer that both have, in the first table's order.
        removed: keys that only the first has, or that the second has only throttled.
        added: keys that only the second has, or that the first has only throttled.
        spreads: of the sentinels of both, 0 for one that was not watched.
    """

    changes: tuple[RowChange, ...]
    removed: tuple[str, ...]
    added: tuple[str, ...]
    spreads: tuple[float, float]

    @property
    def beyond_noise(self) -> tuple[RowChange, ...]:
        """Changes that noise does not explain, the largest first."""
        found = (change for change in self.changes if change.beyond_noise)
        return tuple(sorted(found, key=lambda change: abs(change.change), reverse=True))

    @property
    def median_change(self) -> float:
        """Median relative change over the layers that both have; 0 if there is none."""
        return float(np.median([c.change for c in self.changes])) if self.changes else 0.0


class Merged(NamedTuple):
    """The rows of several tables as one.

    Args:
        table: the union.
        conflicts: keys that several had with different values; the row to trust more won.
    """

    table: LatencyTable
    conflicts: tuple[str, ...]


def diff(before: LatencyTable, after: LatencyTable) -> TableDiff:
    """Compare two tables, of one device at two times or of two devices.

    A row's interval says how sure its median is while it was timed, and the sentinel's spread how
    much the device drifted from row to row; a change beyond noise is beyond both. A throttled row
    is no row, as in predictions.

    Raises:
        TableMismatchError: they were timed with different method versions.
    """
    _check_same("method", before.shared("method"), after.shared("method"))
    spreads = (_spread(before), _spread(after))
    first, second = before.usable_rows, after.usable_rows
    return TableDiff(
        changes=tuple(
            _change(row, second[key], spreads) for key, row in first.items() if key in second
        ),
        removed=tuple(key for key in first if key not in second),
        added=tuple(key for key in second if key not in first),
        spreads=spreads,
    )


def merge(first: LatencyTable, second: LatencyTable) -> Merged:
    """Put the rows of two tables of one device into one, such as those of two spaces.

    Of two rows of one layer the one to trust more is kept: not throttled, measured rather than
    estimated, not noisy, the tighter interval, in this order. The header says when and by what
    command they were merged, keeps the timer settings that both have in common, and the worse
    sentinel. A calibration is of one table's sums, so the union has none.

    Raises:
        TableMismatchError: they are of different devices, runtimes, method versions or dtypes, or
            their rows that are not estimated are of different sources.
    """
    for name in ("name", "machine", "processor", "source"):
        _check_same(
            f"device {name}",
            getattr(first.header.device, name),
            getattr(second.header.device, name),
        )
    for name in ("runtime", "runtime_version", "method"):
        _check_same(name, first.shared(name), second.shared(name))
    _check_same("dtype", first.header.dtype, second.header.dtype)
    _check_sources(first, second)
    rows = dict(first.rows)
    for key, row in second.rows.items():
        rows[key] = min(rows.get(key, row), row, key=_doubt)
    conflicts = tuple(key for key, row in first.rows.items() if second.rows.get(key, row) != row)
    header = _merged_header(first.header, second.header)
    left_out = {**first.header.left_out, **second.header.left_out}
    header = replace(header, left_out={k: why for k, why in left_out.items() if k not in rows})
    return Merged(LatencyTable(header, rows), conflicts)


def _spread(table: LatencyTable) -> float:
    return table.header.sentinel.spread if table.header.sentinel else 0.0


def _change(before: Measurement, after: Measurement, spreads: tuple[float, float]) -> RowChange:
    low_before, high_before = _widened(before, spreads[0])
    low_after, high_after = _widened(after, spreads[1])
    difference = after.median_ms - before.median_ms
    from_nothing = math.inf if difference else 0.0
    return RowChange(
        key=before.key,
        before_ms=before.median_ms,
        after_ms=after.median_ms,
        change=difference / before.median_ms if before.median_ms else from_nothing,
        beyond_noise=low_after > high_before or high_after < low_before,
    )


def _widened(row: Measurement, spread: float) -> tuple[float, float]:
    """The 95% interval of the median, with what the device may have drifted meanwhile."""
    return row.low_ms - spread * row.median_ms, row.high_ms + spread * row.median_ms


def _doubt(row: Measurement) -> tuple[bool, bool, bool, float]:
    """The more, the less a row is to be trusted; a tight interval does not make up for noise."""
    return (
        row.verdict == "throttled",
        row.source == "estimated",
        row.verdict == "noisy",
        row.relative_interval,
    )


def _merged_header(first: TableHeader, second: TableHeader) -> TableHeader:
    spaces = (*first.spaces, *(space for space in second.spaces if space not in first.spaces))
    common = {name: value for name, value in first.timer.items() if second.timer.get(name) == value}
    sentinels = [header.sentinel for header in (first, second) if header.sentinel]
    worse = max(sentinels, key=lambda sentinel: sentinel.spread, default=None)
    left_out = first.left_out | second.left_out
    return replace(
        second,
        spaces=spaces,
        timer=common,
        sentinel=worse,
        made=provenance(),
        calibration=None,
        left_out=left_out,
    )


def _check_sources(first: LatencyTable, second: LatencyTable) -> None:
    """Estimates go with every source but an emulator's: they stand for measured rows."""
    sources = {row.source for table in (first, second) for row in table.rows.values()}
    alike = sources if "emulated" in sources else sources - {"estimated"}
    if alike:
        _check_same("source", min(alike), max(alike))


def _check_same(what: str, first: Scalar | None, second: Scalar | None) -> None:
    if first != second:
        raise TableMismatchError(
            f"the tables differ in {what}: {first} and {second}",
            hint="compare or merge tables that were made in the same way",
        )
