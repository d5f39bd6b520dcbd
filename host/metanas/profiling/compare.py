"""Two tables side by side: what changed, and what they hold together."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from metanas.errors import TableMismatchError
from metanas.profiling.table import LatencyTable, Scalar, TableHeader
from metanas_agent.measurement import Measurement


class RowChange(NamedTuple):
    """One layer in two tables.

    Args:
        key: the layer's key.
        before_ms: median in the first table.
        after_ms: median in the second.
        change: relative, such as 0.1 for 10% slower; infinite where it was 0 before.
        clear: whether the 95% intervals of the medians do not touch.
    """

    key: str
    before_ms: float
    after_ms: float
    change: float
    clear: bool


@dataclass(frozen=True, slots=True)
class TableDiff:
    """What changed from one table to another.

    Args:
        changes: of every layer that both have, in the first table's order.
        removed: keys that only the first has.
        added: keys that only the second has.
    """

    changes: tuple[RowChange, ...]
    removed: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def clear(self) -> tuple[RowChange, ...]:
        """Changes beyond both intervals, the largest first."""
        found = (change for change in self.changes if change.clear)
        return tuple(sorted(found, key=lambda change: abs(change.change), reverse=True))

    @property
    def median_change(self) -> float:
        """Median relative change over the layers that both have; 0 if there is none."""
        return float(np.median([c.change for c in self.changes])) if self.changes else 0.0


class Merged(NamedTuple):
    """The rows of several tables as one.

    Args:
        table: the union.
        conflicts: keys that several had; the tighter interval won.
    """

    table: LatencyTable
    conflicts: tuple[str, ...]


def diff(before: LatencyTable, after: LatencyTable) -> TableDiff:
    """Compare two tables, of one device at two times or of two devices.

    Raises:
        TableMismatchError: they were timed with different method versions.
    """
    _check_same("method", before.shared("method"), after.shared("method"))
    return TableDiff(
        changes=tuple(
            _change(row, after.rows[key]) for key, row in before.rows.items() if key in after.rows
        ),
        removed=tuple(key for key in before.rows if key not in after.rows),
        added=tuple(key for key in after.rows if key not in before.rows),
    )


def merge(first: LatencyTable, second: LatencyTable) -> Merged:
    """Put the rows of two tables of one device into one, such as those of two spaces.

    The header keeps the timer settings that both have in common, and the worse sentinel.

    Raises:
        TableMismatchError: they are of different devices, sources, runtimes or method versions.
    """
    for name in ("name", "machine", "processor"):
        _check_same(
            f"device {name}",
            getattr(first.header.device, name),
            getattr(second.header.device, name),
        )
    for name in ("source", "runtime", "runtime_version", "method"):
        _check_same(name, first.shared(name), second.shared(name))
    rows = dict(first.rows)
    for key, row in second.rows.items():
        rows[key] = min(rows.get(key, row), row, key=_doubt)
    conflicts = tuple(key for key, row in first.rows.items() if second.rows.get(key, row) != row)
    return Merged(LatencyTable(_merged_header(first.header, second.header), rows), conflicts)


def _change(before: Measurement, after: Measurement) -> RowChange:
    difference = after.median_ms - before.median_ms
    from_nothing = math.inf if difference else 0.0
    return RowChange(
        key=before.key,
        before_ms=before.median_ms,
        after_ms=after.median_ms,
        change=difference / before.median_ms if before.median_ms else from_nothing,
        clear=after.low_ms > before.high_ms or after.high_ms < before.low_ms,
    )


def _doubt(row: Measurement) -> tuple[bool, float]:
    return (row.verdict == "throttled", row.relative_interval)


def _merged_header(first: TableHeader, second: TableHeader) -> TableHeader:
    spaces = (*first.spaces, *(space for space in second.spaces if space not in first.spaces))
    common = {name: value for name, value in first.timer.items() if second.timer.get(name) == value}
    sentinels = [header.sentinel for header in (first, second) if header.sentinel]
    worse = max(sentinels, key=lambda sentinel: sentinel.spread, default=None)
    return replace(second, spaces=spaces, timer=common, sentinel=worse)


def _check_same(what: str, first: Scalar | None, second: Scalar | None) -> None:
    if first != second:
        raise TableMismatchError(
            f"the tables differ in {what}: {first} and {second}",
            hint="compare or merge tables that were made in the same way",
        )
