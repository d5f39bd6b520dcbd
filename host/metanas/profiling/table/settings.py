"""With which settings a table was made, so that more can be timed in the same way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from metanas.errors import TableMismatchError
from metanas.profiling.table.latency_table import LatencyTable
from metanas.spaces import SearchSpace, space_from_settings
from metanas_agent.timer import TimerSettings

_SAME_TIMER = ("batch", "cache", "threads", "core")
"""What has to be timed as the rows were."""


def space_of(table: LatencyTable) -> SearchSpace[Any]:
    """The space whose layers a table holds.

    Raises:
        TableMismatchError: it holds those of several, or of none.
        ArchitectureError: of one that this version does not know.
    """
    if len(table.header.spaces) != 1:
        raise TableMismatchError(
            f"the table is of {len(table.header.spaces)} spaces",
            hint="calibrate the tables of each space before they are merged",
        )
    (settings,) = table.header.spaces
    return space_from_settings(settings)


def timer_of(table: LatencyTable) -> TimerSettings:
    """Settings that time networks as the table's rows were timed."""
    same = {name: table.header.timer[name] for name in _SAME_TIMER if name in table.header.timer}
    return replace(TimerSettings(), **same)  # type: ignore[arg-type]
