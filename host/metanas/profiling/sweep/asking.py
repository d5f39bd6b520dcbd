"""Asking a device for rows: the sentinel around every window of them, each answer journaled."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import cast

from metanas.devices.device import Device, DeviceDescription
from metanas.errors import DeviceError, MeasurementFailedError
from metanas.profiling.sweep.plan import TRIES
from metanas.profiling.table import rounded
from metanas.profiling.timings import (
    Journal,
    Purpose,
    Timing,
    check_named_runtime,
    choose_sentinel,
)
from metanas_agent.layers import LayerSpec
from metanas_agent.measurement import METHOD_VERSION, Measurement
from metanas_agent.timer import TimerSettings

BATCH = 500
"""Rows that the device is asked for at once: each time, a process has to start there."""

WINDOW = 10
"""Rows between two timings of the sentinel: what disturbs a device may last a tenth of a second."""

_SENTINELS = 3  # layers that may fail as such before the device is said to be unable

_LONGEST_REASON = 200

_UPGRADE_AGENT = (
    "upgrade the agent: metanas-profile pair for a paired board, "
    "else pip install --upgrade metanas-agent there"
)
_UPGRADE_HOST = "upgrade the host: pip install --upgrade metanas"


class Asking:
    """Asks one device for the rows of one sweep.

    Args:
        device: what is asked.
        layers: all that may be asked for, by key.
        settings: of the timer.
        journal: takes every answer that may stand with the others, before anybody sees it.
        description: what the device said of itself when the sweep began.
        like: a row that is kept already, None where there is none.

    Attributes:
        failures: by key, why a row failed since it was last timed; one text a failure.
    """

    def __init__(
        self,
        device: Device,
        layers: Mapping[str, LayerSpec],
        settings: TimerSettings,
        *,
        journal: Journal,
        description: DeviceDescription,
        like: Measurement | None = None,
    ) -> None:
        self.failures: dict[str, list[str]] = {}
        self._device = device
        self._layers = layers
        self._settings = settings
        self._journal = journal
        self._description = description
        self._like = like or next((timing.row for timing in journal.timings), None)
        self._sentinel = layers[journal.sentinel or choose_sentinel(layers.values()).key]
        self._sentinel_failures: dict[str, int] = {}

    def time(self, keys: Sequence[str]) -> Generator[Timing]:
        """Time the first of these rows, and the sentinel; ends early behind a row that failed.

        Closing the iterator stops the device.

        Raises:
            DeviceError: the device went away, or answered something else than was asked.
            MeasurementFailedError: the sentinel failed again and again.
        """
        asked = self._with_sentinel(keys[:BATCH])
        rows = self._device.measure([layer for _, layer in asked], self._settings)
        with closing(cast("Generator[Measurement, None, None]", rows)):
            for purpose, layer in asked:
                try:
                    row = next(rows, None)
                except MeasurementFailedError as error:
                    self._note_failure(purpose, layer, error)
                    return
                timing = Timing(purpose, rounded(self._checked(row, layer)))
                self._journal.add(timing)
                self._like = self._like or timing.row
                (self.failures if purpose == "row" else self._sentinel_failures).pop(
                    layer.key, None
                )
                yield timing
            next(rows, None)  # there is no more, which ends the job: the device is free again

    def _with_sentinel(self, keys: Sequence[str]) -> list[tuple[Purpose, LayerSpec]]:
        asked: list[tuple[Purpose, LayerSpec]] = [("sentinel", self._sentinel)]
        for start in range(0, len(keys), WINDOW):
            asked += [("row", self._layers[key]) for key in keys[start : start + WINDOW]]
            asked.append(("sentinel", self._sentinel))
        return asked

    def _checked(self, row: Measurement | None, layer: LayerSpec) -> Measurement:
        if row is None or row.key != layer.key:
            raise DeviceError(
                f"{self._device.name} was asked for {layer.key} and answered "
                f"{row.key if row else 'nothing'}",
                hint="does the agent there have the same version as this host?",
            )
        if row.method != METHOD_VERSION:
            raise DeviceError(
                f"the agent of {self._device.name} times by method {row.method}, this host needs "
                f"rows of method {METHOD_VERSION}",
                hint=_UPGRADE_AGENT if row.method < METHOD_VERSION else _UPGRADE_HOST,
            )
        check_named_runtime(row, self._description)
        self._check_like_the_others(row)
        return row

    def _check_like_the_others(self, row: Measurement) -> None:
        """A device may come back with another runtime; such rows make no table together."""
        pairs = {"source": (self._description.source, row.source)}
        for name in ("runtime", "runtime_version") if self._like else ():
            pairs[name] = (getattr(self._like, name), getattr(row, name))
        changes = [
            f"{name} was {old}, now {new}" for name, (old, new) in pairs.items() if old != new
        ]
        if changes:
            raise DeviceError(
                f"{self._device.name} changed in the middle of a sweep: {'; '.join(changes)}",
                hint="put back what it had and run the same command to go on, "
                "or start over with --fresh",
            )

    def _note_failure(
        self, purpose: Purpose, layer: LayerSpec, error: MeasurementFailedError
    ) -> None:
        if purpose == "row":
            reason = str(error).removeprefix(f"{layer.key}: ")[:_LONGEST_REASON]
            self.failures.setdefault(layer.key, []).append(reason)
            return
        failed = self._sentinel_failures
        failed[layer.key] = failed.get(layer.key, 0) + 1
        if failed[layer.key] < TRIES:
            return
        if self._journal.sentinel or len(failed) == min(_SENTINELS, len(self._layers)):
            raise error
        others = [other for key, other in self._layers.items() if key not in failed]
        self._sentinel = choose_sentinel(others)
