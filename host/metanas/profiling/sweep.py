"""Sweep: time every layer of a space on a device, and write the table.

journal = timings so far (a killed sweep goes on from here)
while a round lacks rows, then while doubtful rows may be timed again:
    time: sentinel, a window of rows in random order, sentinel
write the best timing of each row as the table, remove the journal
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metanas.devices.device import Device, DeviceDescription
from metanas.errors import DeviceError
from metanas.profiling.drift import best, candidates, choose_sentinel, doubtful, summarise
from metanas.profiling.journal import (
    Journal,
    Making,
    Purpose,
    Timing,
    check_same_making,
    open_journal,
)
from metanas.profiling.table import CALL, LatencyTable, Scalar, TableHeader, rounded
from metanas.profiling.table_file import read_table, write_table
from metanas.provenance import provenance
from metanas.spaces import SearchSpace
from metanas_agent.layers import LayerSpec
from metanas_agent.measurement import METHOD_VERSION, Measurement
from metanas_agent.timer import TimerSettings

BATCH = 100
"""Rows that the device is asked for at once."""

WINDOW = 10
"""Rows between two timings of the sentinel: what disturbs a device may last a tenth of a second."""

AGAIN_SHARE = 0.2
"""At most this share of the rows is timed again behind the rounds."""


class SweepProgress(NamedTuple):
    """What a sweep has done so far.

    Args:
        done: timings of rows made, those of an earlier, killed sweep included.
        total: timings to make, as far as known.
        row: the timing just made, None at the start.
    """

    done: int
    total: int
    row: Measurement | None


def profile(
    device: Device,
    space: SearchSpace[Any],
    settings: TimerSettings,
    out: Path,
    *,
    rounds: int = 2,
    seed: int = 0,
    fresh: bool = False,
    on_progress: Callable[[SweepProgress], None] = lambda _: None,
) -> LatencyTable:
    """Time every layer of the space, and an empty graph, and write the table.

    A sweep that was killed goes on from its journal. Where `out` already holds the table, only
    rows that were throttled are timed again; with all rows there, the table is just read.

    Args:
        device: what to time them on.
        space: whose layers to time.
        settings: of the timer.
        out: path of the table; the journal lies beside it.
        rounds: how often each row is timed; the fastest timing is kept.
        seed: of the order of the rows. They are timed in random order, so that a slow drift of
            the device falls on small and large layers alike.
        fresh: start over, whatever `out` and its journal hold; a killed fresh sweep goes on.
        on_progress: called at the start and for every row.

    Raises:
        TableMismatchError: the table or journal there was made in another way; it stays as it was.
        TableError: the table or journal there is broken.
        DeviceError: the device went away, or answered something else than was asked.
        MeasurementFailedError: a layer could not be timed.
    """
    description = device.describe()
    making = _making(description, space, settings)
    journal = open_journal(out.with_name(f"{out.name}.journal.jsonl"), making, fresh=fresh)
    earlier = None if journal.fresh else _read_earlier(out, making)
    sweep = _Sweep(
        device,
        space.all_layers,
        settings,
        runtimes=description.runtimes,
        journal=journal,
        earlier=earlier.rows if earlier else {},
        rounds=1 if description.source == "simulated" else rounds,
        seed=seed,
    )
    on_progress(sweep.progress(None))
    while keys := sweep.next_batch():
        for row in sweep.time(keys):
            on_progress(sweep.progress(row))
    if earlier and not journal.timings:
        journal.remove()
        return earlier
    table = LatencyTable(
        TableHeader(
            device=description,
            spaces=({**space.settings},),
            timer=_plain(settings),
            sentinel=summarise(journal.timings),
            made=provenance(seed=seed),
        ),
        sweep.rows(),
    )
    write_table(table, out)
    journal.remove()
    return table


class _Sweep:
    """The rows there are, and which come next; all of it follows from the journal."""

    def __init__(
        self,
        device: Device,
        layers: Sequence[LayerSpec],
        settings: TimerSettings,
        *,
        runtimes: Collection[str],
        journal: Journal,
        earlier: Mapping[str, Measurement],
        rounds: int,
        seed: int,
    ) -> None:
        self.device = device
        self.settings = settings
        self.runtimes = runtimes
        self.journal = journal
        self.earlier = {k: row for k, row in earlier.items() if row.verdict != "throttled"}
        self.sentinel = choose_sentinel(layers)
        self.layers = {layer.key: layer for layer in (CALL, *layers)}
        plan = [key for key in self.layers if key not in self.earlier]
        rng = np.random.default_rng(seed)
        self.rounds = [[plan[place] for place in rng.permutation(len(plan))] for _ in range(rounds)]
        self.total = len(plan) * rounds
        self.most = self.total + int(AGAIN_SHARE * len(plan))
        self.timed = sum(timing.purpose == "row" for timing in journal.timings)

    def next_batch(self) -> list[str]:
        """Keys to time next: those that a round lacks, then doubtful ones, then none."""
        found = candidates(self.journal.timings)
        for number, plan in enumerate(self.rounds):
            if missing := [key for key in plan if len(found.get(key, ())) <= number]:
                return missing[:BATCH]
        again = doubtful(found, rounds=len(self.rounds))[: max(self.most - self.timed, 0)]
        self.total = self.timed + len(again)
        return again[:BATCH]

    def time(self, keys: Sequence[str]) -> Iterator[Measurement]:
        """Time one batch, each timing journaled before it is yielded."""
        asked: list[tuple[Purpose, LayerSpec]] = [("sentinel", self.sentinel)]
        for start in range(0, len(keys), WINDOW):
            asked += [("row", self.layers[key]) for key in keys[start : start + WINDOW]]
            asked.append(("sentinel", self.sentinel))
        answers = self.device.measure([layer for _, layer in asked], self.settings)
        for purpose, layer in asked:
            row = next(answers, None)
            if row is None or row.key != layer.key:
                raise DeviceError(
                    f"{self.device.name} was asked for {layer.key} and answered "
                    f"{row.key if row else 'nothing'}",
                    hint="does the agent there have the same version as this host?",
                )
            if row.runtime not in self.runtimes:
                raise DeviceError(
                    f"{self.device.name} measured with {row.runtime}, which it did not name among "
                    "its runtimes when the sweep began",
                    hint="something may have killed its test process there; try again",
                )
            self.journal.add(Timing(purpose, rounded(row)))
            if purpose == "row":
                self.timed += 1
                yield row
        next(answers, None)  # there is no more, which ends the job: the device is free again

    def progress(self, row: Measurement | None) -> SweepProgress:
        """How far it is."""
        return SweepProgress(self.timed, self.total, row)

    def rows(self) -> dict[str, Measurement]:
        """The best timing of each row, in the order of the space."""
        found = {key: best(choices) for key, choices in candidates(self.journal.timings).items()}
        return {key: found.get(key) or self.earlier[key] for key in self.layers}


def _read_earlier(path: Path, making: Making) -> LatencyTable | None:
    if not path.exists():
        return None
    table = read_table(path)
    header = table.header
    space = header.spaces[0] if len(header.spaces) == 1 else {}
    theirs = _made(header.device, space, header.timer, table.shared("method"))
    check_same_making(path, theirs, making)
    return table


def _making(
    description: DeviceDescription, space: SearchSpace[Any], settings: TimerSettings
) -> Making:
    return _made(description, space.settings, _plain(settings), METHOD_VERSION)


def _made(
    device: DeviceDescription,
    space: Mapping[str, Scalar],
    timer: Mapping[str, Scalar],
    method: Scalar | None,
) -> Making:
    return {
        "device": {
            "name": device.name,
            "machine": device.machine,
            "processor": device.processor,
            "source": device.source,
            "runtimes": device.runtimes,
        },
        "method": method,
        "space": dict(space),
        "timer": dict(timer),
    }


def _plain(settings: TimerSettings) -> dict[str, Scalar]:
    return {name: value for name, value in settings.to_dict().items() if value is not None}
