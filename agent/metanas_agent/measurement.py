"""Measurement: what a timing is, with the evidence that it can be trusted."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from metanas_agent.errors import InvalidMeasurementError

METHOD_VERSION = 1
"""Raised whenever the way of timing changes, so that unlike rows are never merged."""

VERDICTS = ("trusted", "noisy", "throttled")
SOURCES = ("measured", "simulated", "estimated", "emulated")
"""`emulated`: timed on an emulator of the processor, so the time means nothing of the board's."""

_TIMES = ("median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms")


@dataclass(frozen=True, slots=True)
class SystemState:
    """What the system says of itself at one instant; None where it does not tell."""

    clock_mhz: float | None = None
    governor: str | None = None
    temperature_c: float | None = None
    throttled: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The latency of one layer or model on one device.

    Args:
        key: the layer's key (`LayerSpec.key`), or a model's SHA-256.
        median_ms: median over the samples.
        low_ms: lower end of the 95% confidence interval of the median.
        high_ms: its upper end.
        p10_ms: 10th percentile of the samples.
        p90_ms: 90th percentile of the samples.
        samples: timed samples (each may repeat the work; its time is divided by the repeats).
        repeats: calls in one sample.
        clock_mhz_before: clock before the samples, None where the system does not tell.
        clock_mhz_after: clock after the samples, None likewise.
        temperature_c: behind the samples, None likewise.
        throttled: throttle bits behind the samples, None likewise.
        source: one of `SOURCES`.
        runtime: what ran it, such as `onnx`.
        runtime_version: its version.
        method: the timing method's version, `METHOD_VERSION`.
        verdict: one of `VERDICTS`.
        reason: why the verdict is not `trusted`.

    Raises:
        InvalidMeasurementError: a value is impossible, such as a negative time.
    """

    key: str
    median_ms: float
    low_ms: float
    high_ms: float
    p10_ms: float
    p90_ms: float
    samples: int
    repeats: int
    source: str
    runtime: str
    runtime_version: str
    clock_mhz_before: float | None = None
    clock_mhz_after: float | None = None
    temperature_c: float | None = None
    throttled: int | None = None
    method: int = METHOD_VERSION
    verdict: str = "trusted"
    reason: str = ""

    def __post_init__(self) -> None:
        for name in _TIMES:
            if not _is_number(getattr(self, name)) or getattr(self, name) < 0:
                raise self._invalid(name)
        for name in ("samples", "repeats", "method"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise self._invalid(name)
        for name in ("key", "runtime", "runtime_version", "reason"):
            if not isinstance(getattr(self, name), str):
                raise self._invalid(name)
        for name in ("clock_mhz_before", "clock_mhz_after", "temperature_c"):
            if getattr(self, name) is not None and not _is_number(getattr(self, name)):
                raise self._invalid(name)
        if self.throttled is not None and type(self.throttled) is not int:
            raise self._invalid("throttled")
        if not self.low_ms <= self.median_ms <= self.high_ms:
            raise self._invalid("median_ms")
        if self.verdict not in VERDICTS:
            raise self._invalid("verdict")
        if self.source not in SOURCES:
            raise self._invalid("source")

    def _invalid(self, name: str) -> InvalidMeasurementError:
        return InvalidMeasurementError(
            f"measurement of {str(self.key)[:200]!r}: {name} is {getattr(self, name)!r}"
        )

    @property
    def relative_interval(self) -> float:
        """Half the confidence interval, as a share of the median."""
        return (self.high_ms - self.low_ms) / 2 / self.median_ms if self.median_ms else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a frame or a line of JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            InvalidMeasurementError: a field is missing, unknown or impossible.
        """
        if not isinstance(values, dict):
            raise InvalidMeasurementError(f"not a measurement: {str(values)[:200]}")
        known = {field.name for field in fields(cls)}
        if unknown := sorted(str(name)[:60] for name in values.keys() - known):
            raise InvalidMeasurementError(f"measurement has unknown fields: {', '.join(unknown)}")
        try:
            return cls(**values)
        except TypeError as error:
            raise InvalidMeasurementError(f"measurement is incomplete: {error}") from error


def _is_number(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max  # type: ignore[arg-type]
