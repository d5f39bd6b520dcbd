"""Prediction: what the search promised of an architecture."""

from __future__ import annotations

from dataclasses import dataclass

from metanas.errors import InvalidMeasurementError


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The latency that a table promises, and the memory that the space does.

    Args:
        latency_ms: sum over the network's layers.
        low_ms: lower end of the sum's 95% confidence interval.
        high_ms: its upper end.
        source: of the table's rows: `measured`, `simulated` or `estimated`.
        memory_bytes: parameters, and the maps that live at the worst moment; None if not promised.

    Raises:
        InvalidMeasurementError: the latency is not above 0 or not inside its interval.
    """

    latency_ms: float
    low_ms: float
    high_ms: float
    source: str
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        if not (self.latency_ms > 0 and self.low_ms <= self.latency_ms <= self.high_ms):
            raise InvalidMeasurementError(
                f"predicted latency {self.latency_ms} ms ({self.low_ms} to {self.high_ms})",
                hint="profile the device again",
            )
