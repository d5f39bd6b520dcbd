"""With which settings a table was made, so that more can be timed in the same way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from metanas.errors import TableMismatchError
from metanas.profiling.table.header import Scalar
from metanas.profiling.table.latency_table import LatencyTable
from metanas.spaces import SearchSpace, space_from_settings
from metanas_agent.timer import TimerSettings

_SAME_TIMER: dict[str, Scalar | None] = {"batch": 1, "cache": "warm", "threads": 1, "core": None}
"""What has to be timed as the rows were, and what it was where the table does not say."""


def space_of(table: LatencyTable) -> SearchSpace[Any]:
    """The space whose layers a table holds.

    Raises:
        TableMismatchError: it holds those of several, or of none.
        ArchitectureError: of one that this version does not know.
    """
    if len(table.header.spaces) != 1:
        raise TableMismatchError(
            f"the table is of {len(table.header.spaces)} spaces",
            hint="give the table of one space, as it was before it was merged",
        )
    (settings,) = table.header.spaces
    return space_from_settings(settings)


def timer_of(table: LatencyTable, settings: TimerSettings | None = None) -> TimerSettings:
    """Settings that time networks as the table's rows were timed.

    Args:
        table: says how many images a call had, on which core and how many, with which caches.
        settings: say how long and how surely to time; the usual ones if not given.
    """
    same = {name: table.header.timer.get(name, unsaid) for name, unsaid in _SAME_TIMER.items()}
    return replace(settings or TimerSettings(), **same)  # type: ignore[arg-type]
