"""Estimated tables: other devices' tables and a few measured rows become a whole table.

Estimated rows say so, each with its interval; measured ones stay as they were measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from metanas.errors import EmulatedTableError, MissingRowsError, TableMismatchError
from metanas.profiling.estimate.board import Estimate, NewBoard, OwnTimes, Probes
from metanas.profiling.estimate.work import Floats
from metanas.profiling.table import CALL, LatencyTable, rounded
from metanas.provenance import provenance
from metanas.spaces import Genes, SearchSpace
from metanas_agent.layers import LayerSpec
from metanas_agent.measurement import Measurement

FEWEST_PROBES = 5

MOST_PROBES = 200
"""Of more measured rows, so many at random are estimated from: the time grows with their cube."""

_ARCHITECTURES = 200
_FEWEST_ROWS = 50
_Z95 = 1.959964
_Z90 = 1.281552  # of the 10th and 90th percentile
_LEAST_MS = 1e-7
_LARGEST_DEVIATION = 1.0  # of the logarithm of a measured time


class Estimator:
    """Estimates a new device's table of a space.

    Args:
        space: whose layers.
        others: tables of other devices, of this space or of another one.

    Raises:
        EmulatedTableError: one was timed under an emulator.
        TableMismatchError: there is none, two are of the same device, or one has too few
            measured rows.
    """

    def __init__(self, space: SearchSpace[Any], others: Sequence[LatencyTable]) -> None:
        _check(others)
        self.space = space
        self.others = tuple(others)
        self._board = NewBoard(space.all_layers, [own_times(table) for table in others])

    def choose_probes(
        self, count: int, measured: LatencyTable | None = None
    ) -> tuple[LayerSpec, ...]:
        """The `count` layers that tell most of the others when they are measured.

        Args:
            count: how many, the call of the runtime not counted.
            measured: rows of the new device so far; the call must be among them.
        """
        genes = self.space.sample(_ARCHITECTURES, np.random.default_rng(0))
        known = self._known(measured) if measured else None
        there = measured_rows(measured) if measured else {}
        most = count + len(there)  # measured rows that take no time could be chosen again
        places = self._board.choose_probes(most, _uses(self.space, genes), known)
        layers = [self.space.all_layers[place] for place in places]
        return tuple(layer for layer in layers if layer.key not in there)[:count]

    def estimate(self, measured: LatencyTable) -> LatencyTable:
        """The table of the space: rows that were measured, and estimates of all others.

        Args:
            measured: rows of the new device; the more there are, the better the estimates.

        Raises:
            EmulatedTableError: they were timed under an emulator.
            MissingRowsError: the call is not among them, or too few of the space's layers.
        """
        _refuse_emulated(measured)
        call, known = measured.row(CALL), measured_rows(measured)
        if all(layer.key in known for layer in self.space.all_layers):
            return measured
        probes = self._known(measured)
        if len(probes.places) < FEWEST_PROBES:
            raise MissingRowsError(
                f"only {len(probes.places)} layers of {measured.header.device.name} are "
                f"{call.source}",
                hint=f"measure {FEWEST_PROBES} at the least",
            )
        estimate = self._board.estimate(probes)
        rows = {CALL.key: call}
        for place, layer in enumerate(self.space.all_layers):
            rows[layer.key] = (
                known[layer.key]
                if layer.key in known
                else _row(layer, call, estimate, place, probes=len(probes.places))
            )
        names = ", ".join(table.header.device.name for table in self.others)
        header = replace(
            measured.header,
            spaces=({**self.space.settings},),
            made=provenance() | {"estimated_from": names, "probes": len(probes.places)},
            calibration=None,
            left_out={},
        )
        return LatencyTable(header, rows)

    def _known(self, measured: LatencyTable) -> Probes:
        call = measured.row(CALL)
        own = own_times(measured)
        layers = self.space.all_layers
        places = [place for place, layer in enumerate(layers) if layer.key in own]
        if len(places) > MOST_PROBES:
            rng = np.random.default_rng(0)
            places = rng.permutation(places)[:MOST_PROBES].tolist()
        rows = [measured.rows[layers[place].key] for place in places]
        own_ms = np.array([own[row.key] for row in rows])
        off_ms = np.array([_deviation_ms(row) + _deviation_ms(call) for row in rows])
        variance = np.minimum(off_ms / own_ms, _LARGEST_DEVIATION) ** 2
        return Probes(np.array(places, np.int64), np.log(own_ms), variance)


def measured_rows(table: LatencyTable) -> dict[str, Measurement]:
    """Rows of layers that were measured, and not while the device was throttled."""
    return {
        key: row
        for key, row in table.rows.items()
        if key != CALL.key and row.source != "estimated" and row.verdict != "throttled"
    }


def own_times(table: LatencyTable) -> OwnTimes:
    """What each measured layer of a table takes by itself, without the call.

    Layers that take no time are left out: a simulator does not know of them, or the time is lost
    in that of the call, and there is no logarithm of it.
    """
    call_ms = table.row(CALL).median_ms
    own_ms = {key: row.median_ms - call_ms for key, row in measured_rows(table).items()}
    return {key: time_ms for key, time_ms in own_ms.items() if time_ms > 0}


def _deviation_ms(row: Measurement) -> float:
    """Of the median; by the interval's ratio, since what disturbs has only a long upper end."""
    lowest = max(row.low_ms, _LEAST_MS)
    return row.median_ms * float(np.log(max(row.high_ms, lowest) / lowest)) / 2 / _Z95


def _row(
    layer: LayerSpec, call: Measurement, estimate: Estimate, place: int, *, probes: int
) -> Measurement:
    mean, deviation = estimate.mean[place], estimate.deviation[place]

    def ms(deviations: float) -> float:
        return call.median_ms + float(np.exp(mean + deviations * deviation))

    row = Measurement(
        key=layer.key,
        median_ms=ms(0),
        low_ms=ms(-_Z95),
        high_ms=ms(_Z95),
        p10_ms=ms(-_Z90),
        p90_ms=ms(_Z90),
        samples=probes,
        repeats=1,
        source="estimated",
        runtime=call.runtime,
        runtime_version=call.runtime_version,
        method=call.method,
        verdict="noisy",
        reason=f"estimated from {probes} {call.source} rows",
    )
    return rounded(row)


def _uses(space: SearchSpace[Any], genes: Genes) -> Floats:
    uses = np.zeros((len(genes), len(space.all_layers)))
    for row, indices in zip(uses, space.layer_indices(genes), strict=True):
        np.add.at(row, indices[indices >= 0], 1.0)
    return uses


def _check(others: Sequence[LatencyTable]) -> None:
    if not others:
        raise TableMismatchError(
            "nothing to estimate from", hint="give tables of other devices with --from"
        )
    for table in others:
        _refuse_emulated(table)
        if len(own_times(table)) < _FEWEST_ROWS:
            raise TableMismatchError(
                f"the table of {table.header.device.name} has only {len(own_times(table))} "
                f"{table.header.device.source} rows to estimate from",
                hint="profile that device whole",
            )
    names = [table.header.device.name for table in others]
    if len(set(names)) < len(names):
        raise TableMismatchError(
            f"several tables of one device to estimate from: {', '.join(sorted(names))}",
            hint="give one table a device",
        )


def _refuse_emulated(table: LatencyTable) -> None:
    if table.shared("source") == "emulated" or table.header.device.source == "emulated":
        raise EmulatedTableError(
            f"{table.header.device.name} was timed under an emulator: its times tell nothing of "
            "a board",
            hint="measure the board itself",
        )
