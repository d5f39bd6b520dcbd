"""LatencyTable: the latency of every layer of a space on one device, and of whole networks.

Calling a runtime costs something by itself, and a layer timed alone pays that price each time,
while a network pays it once. So the table also holds an empty graph, and a network is predicted as

    empty + sum over its layers of max(layer - empty, 0)

A table that was calibrated with whole networks carries a correction, `scale × sum + offset_ms +
ms_per_mb × MB of parameters`, and its predictions are calibrated; `uncalibrated` is the table
without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from metanas.errors import MissingRowsError, TableMismatchError
from metanas.profiling.table.header import Scalar, TableHeader
from metanas.spaces import Genes, SearchSpace
from metanas_agent.layers import EmptyLayer, LayerSpec
from metanas_agent.measurement import Measurement

CALL = EmptyLayer(1, 1, 1)
"""The row that says what a call of the runtime costs by itself."""

SHARED_FIELDS = ("source", "runtime", "runtime_version", "method")
"""What all rows of a table have in common."""

_NAMED_KEYS = 3


class Interval(NamedTuple):
    """Lower and upper bound, one number an architecture each."""

    low_ms: NDArray[np.float64]
    high_ms: NDArray[np.float64]


class _Columns(NamedTuple):
    """What each layer of a space adds to a network's latency; NaN where there is no row."""

    median_ms: NDArray[np.float64]
    low_ms: NDArray[np.float64]
    high_ms: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LatencyTable:
    """Rows of one device, runtime and method, with their provenance.

    A layer without a row, or whose row was measured while the device was throttled, is missing:
    asking for it is an error, never a guess.

    Args:
        header: where the rows come from.
        rows: measurements by layer key, in the order in which they are written.

    Raises:
        TableMismatchError: the rows were not all made in the same way.
    """

    header: TableHeader
    rows: Mapping[str, Measurement]
    _columns: WeakKeyDictionary[SearchSpace[Any], _Columns] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False
    )

    def __post_init__(self) -> None:
        for name in SHARED_FIELDS:
            values = {getattr(row, name) for row in self.rows.values()}
            if name == "source":  # estimates stand beside what is measured, and say so
                values.discard("estimated")
            if len(values) > 1:
                raise TableMismatchError(
                    f"rows of one table differ in {name}: {', '.join(sorted(map(str, values)))}",
                    hint="make one table for each",
                )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LatencyTable):
            return NotImplemented
        return self.header == other.header and list(self.rows.items()) == list(other.rows.items())

    __hash__ = None  # type: ignore[assignment]

    def shared(self, name: str) -> Scalar | None:
        """The value of one of `SHARED_FIELDS`, None in a table without rows.

        The source is `estimated` as soon as one row is.
        """
        if name == "source" and any(row.source == "estimated" for row in self.rows.values()):
            return "estimated"
        for row in self.rows.values():
            value: Scalar = getattr(row, name)
            return value
        return None

    def row(self, layer: LayerSpec) -> Measurement:
        """The measurement of a layer.

        Raises:
            MissingRowsError: the table has no row of it that can be used.
        """
        row = self._usable(layer.key)
        if row is None:
            raise self._missing([layer.key])
        return row

    @property
    def usable_rows(self) -> dict[str, Measurement]:
        """The rows by key, without those that were measured while the device was throttled."""
        return {key: row for key, row in self.rows.items() if row.verdict != "throttled"}

    @property
    def uncalibrated(self) -> LatencyTable:
        """The same rows, whose plain sums are the predictions."""
        return LatencyTable(replace(self.header, calibration=None), self.rows)

    @property
    def call_ms(self) -> float:
        """What each network pays once: the call of the runtime, and what calibration adds."""
        return self._scale * self.row(CALL).median_ms + self._offset_ms

    def layer_ms(self, layer: LayerSpec) -> float:
        """What a layer adds to a network: its median without the call of the runtime, calibrated.

        Raises:
            MissingRowsError: the table has no row of it, or none of the call.
        """
        own_ms = max(self.row(layer).median_ms - self.row(CALL).median_ms, 0.0)
        return self._scale * own_ms + self._ms_per_byte * layer.size_bytes

    def latency_ms(self, space: SearchSpace[Any], genes: Genes) -> NDArray[np.float64]:
        """Predicted latency of many architectures, shape (architectures,).

        Raises:
            MissingRowsError: the table lacks a layer of one of them.
        """
        return self._predict(space, genes, "median_ms")

    def interval_ms(self, space: SearchSpace[Any], genes: Genes) -> Interval:
        """Bounds of `latency_ms`, as if every row were off in the same direction at once.

        That is wider than adding the errors as independent ones would be, since what disturbs a
        device disturbs many rows alike. A calibrated table's are wider by the worst error that
        was seen on a whole network.

        Raises:
            MissingRowsError: the table lacks a layer of one of them.
        """
        calibration = self.header.calibration
        error = calibration.worst_error if calibration else 0.0
        return Interval(
            np.maximum(self._predict(space, genes, "low_ms") * (1 - error), 0.0),
            self._predict(space, genes, "high_ms") * (1 + error),
        )

    def costs_ms(self, space: SearchSpace[Any]) -> NDArray[np.float64]:
        """`layer_ms` of every layer, aligned to `space.all_layers`.

        Raises:
            MissingRowsError: the table lacks one of them.
        """
        if missing := self.missing(space.all_layers):
            raise self._missing(missing)
        return self._align(space).median_ms.copy()

    def missing(self, layers: Sequence[LayerSpec]) -> list[str]:
        """Keys among these layers, and the call's, that have no row that can be used."""
        return [key for key in (CALL.key, *_keys(layers)) if self._usable(key) is None]

    def _predict(self, space: SearchSpace[Any], genes: Genes, which: str) -> NDArray[np.float64]:
        call_ms: float = getattr(self.row(CALL), which)
        sums_ms = space.sum_over_layers(genes, getattr(self._align(space), which))
        if np.isnan(sums_ms).any():
            raise self._missing_of(space, genes)
        return np.maximum(self._scale * call_ms + self._offset_ms + sums_ms, 0.0)

    @property
    def _scale(self) -> float:
        return self.header.calibration.scale if self.header.calibration else 1.0

    @property
    def _offset_ms(self) -> float:
        return self.header.calibration.offset_ms if self.header.calibration else 0.0

    @property
    def _ms_per_byte(self) -> float:
        return self.header.calibration.ms_per_mb / 1e6 if self.header.calibration else 0.0

    def _align(self, space: SearchSpace[Any]) -> _Columns:
        """What each layer adds, calibrated, aligned to `space.all_layers` once."""
        if space not in self._columns:
            call = self.row(CALL)
            rows = [self._usable(key) for key in _keys(space.all_layers)]
            size_bytes = np.array([layer.size_bytes for layer in space.all_layers])

            def own_ms(which: str, call_ms: float) -> NDArray[np.float64]:
                times = np.array([getattr(row, which) if row else np.nan for row in rows])
                own = np.maximum(times - call_ms, 0.0)
                return self._scale * own + self._ms_per_byte * size_bytes

            self._columns[space] = _Columns(
                median_ms=own_ms("median_ms", call.median_ms),
                low_ms=own_ms("low_ms", call.high_ms),
                high_ms=own_ms("high_ms", call.low_ms),
            )
        return self._columns[space]

    def _usable(self, key: str) -> Measurement | None:
        row = self.rows.get(key)
        return None if row is None or row.verdict == "throttled" else row

    def _missing_of(self, space: SearchSpace[Any], genes: Genes) -> MissingRowsError:
        used = np.unique(space.layer_indices(genes))
        layers = [space.all_layers[index] for index in used if index >= 0]
        return self._missing(self.missing(layers))

    def _missing(self, keys: Sequence[str]) -> MissingRowsError:
        throttled = sum(key in self.rows for key in keys)
        named = ", ".join(keys[:_NAMED_KEYS])
        more = f" and {len(keys) - _NAMED_KEYS} more" if len(keys) > _NAMED_KEYS else ""
        because = f" ({throttled} of them measured while throttled)" if throttled else ""
        return MissingRowsError(
            f"the table of {self.header.device.name} lacks {len(keys)} rows{because}: "
            f"{named}{more}",
            hint="profile the device again with metanas-profile; it measures only what is missing",
        )


def _keys(layers: Sequence[LayerSpec]) -> Iterator[str]:
    return (layer.key for layer in layers)
