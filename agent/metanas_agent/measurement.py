"""Measurement: what a timing is, with the evidence that it can be trusted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from metanas_agent.errors import InvalidMeasurementError

METHOD_VERSION = 2
"""Raised whenever the way of timing changes, so that unlike rows are never merged."""

VERDICTS = ("trusted", "noisy", "throttled")
SOURCES = ("measured", "simulated", "estimated", "emulated")
"""`emulated`: timed on an emulator of the processor, so the time means nothing of the board's."""

_PROTOCOL_1_NAMES = {"temperature_c": "temperature_c_after", "throttled": "throttled_after"}
_SINCE_PROTOCOL_2 = ("governor", "temperature_c_before", "throttled_before", "energy_mj")


@dataclass(frozen=True, slots=True)
class SystemState:
    """What the system says of itself at one instant; None where it does not tell.

    Args:
        clock_mhz: of the core that works.
        clock_limit_mhz: the highest clock that the kernel allows now.
        clock_full_mhz: the highest clock that the core can hold.
        governor: which rule sets the clock.
        temperature_c: of the processor.
        throttled: bits of the firmware.
        throttle_count: how often the processor slowed itself down since boot, as it counts.
    """

    clock_mhz: float | None = None
    clock_limit_mhz: float | None = None
    clock_full_mhz: float | None = None
    governor: str | None = None
    temperature_c: float | None = None
    throttled: int | None = None
    throttle_count: int = 0


@dataclass(frozen=True, slots=True)
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
        governor: which rule sets the clock, None likewise.
        temperature_c_before: before the samples, None likewise.
        temperature_c_after: behind the samples, None likewise.
        throttled_before: throttle bits before the samples, None likewise.
        throttled_after: throttle bits behind the samples, None likewise.
        energy_mj: energy of one call, None where the device cannot tell.
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
    governor: str | None = None
    temperature_c_before: float | None = None
    temperature_c_after: float | None = None
    throttled_before: int | None = None
    throttled_after: int | None = None
    energy_mj: float | None = None
    method: int = METHOD_VERSION
    verdict: str = "trusted"
    reason: str = ""

    def __post_init__(self) -> None:
        for name, kinds, least in _RANGES:  # in line: tables of thousands are read at a start
            value = getattr(self, name)
            if not isinstance(value, kinds) or value is True or value is False:
                raise self._invalid(name)
            if value is not None and not least <= value <= _LARGEST:
                raise self._invalid(name)
        for name, possible in _TEXTS.items():
            if not possible(getattr(self, name)):
                raise self._invalid(name)
        if not self.low_ms <= self.median_ms <= self.high_ms:
            raise self._invalid("median_ms")

    def _invalid(self, name: str) -> InvalidMeasurementError:
        return InvalidMeasurementError(
            f"measurement of {str(self.key)[:200]!r}: {name} is {getattr(self, name)!r}"
        )

    @property
    def relative_interval(self) -> float:
        """Half the confidence interval, as a share of the median."""
        return (self.high_ms - self.low_ms) / 2 / self.median_ms if self.median_ms else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a frame or a line of JSON; what is not known is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def to_protocol_1(self) -> dict[str, Any]:
        """The values that a peer of protocol 1 knows, under the names that it knows."""
        old_names = {new: old for old, new in _PROTOCOL_1_NAMES.items()}
        return {
            old_names.get(name, name): value
            for name, value in self.to_dict().items()
            if name not in _SINCE_PROTOCOL_2
        }

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Read what `to_dict` or `to_protocol_1` wrote.

        Raises:
            InvalidMeasurementError: a field is missing, unknown or impossible.
        """
        if not isinstance(values, dict):
            raise InvalidMeasurementError(f"not a measurement: {str(values)[:200]}")
        named = {str(_PROTOCOL_1_NAMES.get(name, name)): values[name] for name in values}
        known = {field.name for field in fields(cls)}
        if unknown := sorted(str(name)[:60] for name in named.keys() - known):
            raise InvalidMeasurementError(f"measurement has unknown fields: {', '.join(unknown)}")
        try:
            return cls(**named)
        except TypeError as error:
            raise InvalidMeasurementError(f"measurement is incomplete: {error}") from error


_LARGEST = sys.float_info.max
_FRACTION = (float, int)
_INTEGER = (int,)
_UNKNOWN = (type(None),)

_NUMBERS: dict[tuple[str, ...], tuple[tuple[type, ...], float]] = {
    ("median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms"): (_FRACTION, 0),
    ("samples", "repeats", "method"): (_INTEGER, 1),
    ("clock_mhz_before", "clock_mhz_after"): (_FRACTION + _UNKNOWN, -_LARGEST),
    ("temperature_c_before", "temperature_c_after"): (_FRACTION + _UNKNOWN, -_LARGEST),
    ("throttled_before", "throttled_after"): (_INTEGER + _UNKNOWN, -_LARGEST),
    ("energy_mj",): (_FRACTION + _UNKNOWN, 0),
}
"""What kinds of numbers these fields hold, and the least of them."""

_RANGES: list[tuple[str, Any, float]] = [
    (name, *limits) for names, limits in _NUMBERS.items() for name in names
]


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_TEXTS: dict[str, Callable[[object], bool]] = {
    "key": _is_text,
    "runtime": _is_text,
    "runtime_version": _is_text,
    "reason": _is_text,
    "governor": lambda value: value is None or (isinstance(value, str) and value != ""),
    "verdict": VERDICTS.__contains__,
    "source": SOURCES.__contains__,
}
