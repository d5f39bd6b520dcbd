"""Sweep: time every layer of a space on a device, and write the table.

hold the journal, which has the timings so far (a killed sweep goes on from here)
while the plan asks for rows and the budget is not spent:
    time: sentinel, a window of rows, sentinel, a window of rows, ...
write the best timing of each row as the table; remove the journal if nothing is left to do
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metanas.devices.device import Device
from metanas.errors import MeasurementFailedError
from metanas.profiling.sweep.asking import Asking
from metanas.profiling.sweep.earlier import read_earlier, refuse_to_lose_rows, unsettled
from metanas.profiling.sweep.order import by_need, expected_shares, shuffled
from metanas.profiling.sweep.plan import Plan
from metanas.profiling.sweep.run import SweepProgress, SweepRun
from metanas.profiling.table import (
    CALL,
    LatencyTable,
    Sentinel,
    TableHeader,
    write_table,
)
from metanas.profiling.timings import (
    Journal,
    candidates,
    exclusive,
    journal_path,
    judged,
    making_of,
    plain_settings,
    summarise,
)
from metanas.provenance import provenance
from metanas.spaces import SearchSpace
from metanas_agent.layers import LayerSpec
from metanas_agent.measurement import Measurement
from metanas_agent.timer import TimerSettings

OVER_BUDGET = "budget"
"""Why a row is left out that the budget did not reach."""

NOT_ASKED = "not asked for"
"""Why a row is left out that is not among those that were asked for."""


def profile(
    device: Device,
    space: SearchSpace[Any],
    settings: TimerSettings,
    out: Path,
    *,
    rounds: int = 2,
    seed: int = 0,
    fresh: bool = False,
    budget_s: float | None = None,
    only: Collection[LayerSpec] | None = None,
    on_progress: Callable[[SweepProgress], None] = lambda _: None,
) -> LatencyTable:
    """Time every layer of the space, and an empty graph, and write the table.

    A sweep that was killed, or whose budget was spent, goes on from its journal. Where `out`
    already holds a table, only rows that it lacks, or that were throttled, are timed; with all
    rows there, it is just read. What could not be timed is named in the header's `left_out`.

    Args:
        device: what to time them on.
        space: whose layers to time.
        settings: of the timer.
        out: path of the table; the journal lies beside it.
        rounds: how often each row is timed (once, if it is computed); the fastest is kept.
        seed: of the order of the rows.
        fresh: start over, whatever `out` and its journal hold; a killed fresh sweep goes on. With
            a budget, only where `out` holds nothing that could be lost.
        budget_s: stop asking after so many seconds of this call, but not before one row; rows
            are then timed in the order in which a search needs them.
        only: ask for these of the layers alone; rows that are there already stay.
        on_progress: called at the start, for every row, and while the sweep rests.

    Raises:
        TableBusyError: another sweep is at work on `out`.
        TableMismatchError: the table or journal there was made in another way; it stays as it was.
        TableError: the table or journal there is broken; or it has rows that a fresh sweep within
            a budget might not have.
        DeviceError: the device went away, or answered something else than was asked.
        MeasurementFailedError: no layer could be timed, or the sentinel not any more.
    """
    end_s = math.inf if budget_s is None else time.monotonic() + budget_s
    description = device.describe()
    making = making_of(description, space.settings, settings)
    path = journal_path(out)
    with exclusive(path):
        journal = Journal(path, making, fresh=fresh)
        earlier = None if journal.fresh else read_earlier(out, making)
        if journal.fresh and budget_s is not None:
            refuse_to_lose_rows(out, journal)
        layers = {layer.key: layer for layer in (CALL, *space.all_layers)}
        asking = Asking(
            device,
            layers,
            settings,
            journal=journal,
            description=description,
            like=next(iter(earlier.rows.values()), None) if earlier else None,
        )

        def wanted(layer: LayerSpec) -> bool:
            return only is None or layer in only

        plan = _plan(
            [layer for layer in unsettled(layers, journal, earlier) if wanted(layer)],
            space if budget_s is not None else None,
            rounds=1 if description.source == "simulated" else rounds,
            seed=seed,
        )
        run = SweepRun(plan, asking, journal, end_s=end_s, on_progress=on_progress)
        finished = run.time_all()
        if earlier and not journal.timings:
            return earlier
        rows = _rows(layers, journal, earlier)
        header = TableHeader(
            device=description,
            spaces=({**space.settings},),
            timer=plain_settings(settings),
            sentinel=_sentinel(rows, journal, earlier),
            made=provenance(seed=seed),
            calibration=earlier.header.calibration if earlier and earlier.rows == rows else None,
            left_out={
                key: asking.failures.get(key, [OVER_BUDGET if wanted(layer) else NOT_ASKED])[-1]
                for key, layer in layers.items()
                if key not in rows
            },
        )
        if not rows:
            raise MeasurementFailedError(
                f"{device.name} could time no layer: {next(iter(header.left_out.values()))}",
                hint="metanas-profile doctor says what the device lacks",
            )
        table = LatencyTable(header, rows)
        write_table(table, out)
        if finished:
            journal.remove()
        return table


def _plan(
    layers: list[LayerSpec], needed_by: SearchSpace[Any] | None, *, rounds: int, seed: int
) -> Plan:
    rng = np.random.default_rng(seed)
    if needed_by is None:
        return Plan([shuffled(layers, rng) for _ in range(rounds)])
    needs = expected_shares(needed_by)
    return Plan([by_need(layers, needs, rng) for _ in range(rounds)])


def _rows(
    layers: Mapping[str, LayerSpec], journal: Journal, earlier: LatencyTable | None
) -> dict[str, Measurement]:
    """The best timing of each row that has one, with its verdict, in the order of the space."""
    found = dict(earlier.rows) if earlier else {}
    for key, choices in candidates(journal.timings).items():
        found[key] = judged(choices)
    return {key: found[key] for key in layers if key in found}


def _sentinel(
    rows: Mapping[str, Measurement], journal: Journal, earlier: LatencyTable | None
) -> Sentinel | None:
    """Of the journal; the worse one, where rows of an earlier sweep are kept."""
    ours = summarise(journal.timings)
    theirs = earlier.header.sentinel if earlier else None
    begun = {timing.row.key for timing in journal.timings if timing.purpose == "row"}
    if ours and theirs and rows.keys() - begun:
        return max(ours, theirs, key=lambda sentinel: sentinel.spread)
    return ours or theirs
