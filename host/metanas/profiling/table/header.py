"""The header of a latency table: where its rows come from, and what is known of them as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from metanas.devices.device import DeviceDescription

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """What turns a table's sums into the latency of whole networks, and how sure it is.

    Args:
        scale: factor.
        offset_ms: added to it.
        networks: how many whole networks it was fitted to.
        mean_error: mean relative error of the calibrated predictions, cross-validated.
        worst_error: the largest of them; bounds of predictions are at least so wide.
        ms_per_mb: added for each MB (of 10^6 bytes) of a network's parameters.
        made: command, version, seed, machine and time; empty where they are not known.
    """

    scale: float
    offset_ms: float
    networks: int
    mean_error: float
    worst_error: float
    ms_per_mb: float = 0.0
    made: dict[str, str | int] = field(default_factory=dict)

    @property
    def formula(self) -> str:
        """The correction as a person reads it."""
        text = f"latency = {self.scale:g} x sum {self.offset_ms:+g} ms"
        return f"{text} {self.ms_per_mb:+g} ms a MB of parameters" if self.ms_per_mb else text


@dataclass(frozen=True, slots=True)
class Sentinel:
    """One layer timed again and again during a sweep, to see whether the device drifts.

    Args:
        key: the layer's key.
        timings: how often it was timed.
        median_ms: median over the timings.
        p10_ms: 10th percentile.
        p90_ms: 90th percentile.
    """

    key: str
    timings: int
    median_ms: float
    p10_ms: float
    p90_ms: float

    @property
    def spread(self) -> float:
        """Half the range from the 10th to the 90th percentile, as a share of the median."""
        return (self.p90_ms - self.p10_ms) / 2 / self.median_ms if self.median_ms else 0.0


@dataclass(frozen=True, slots=True)
class TableHeader:
    """Where a table comes from.

    Args:
        device: what the device said of itself.
        spaces: settings of each space whose layers were measured.
        timer: settings of the timer.
        sentinel: how much the device drifted, None if that was not watched.
        made: command, version, seed, machine and time.
        calibration: what whole networks said of the table's sums, None where none were measured.
        left_out: layers of the spaces that have no row, by key, and why: `budget`, or how timing
            them failed.
    """

    device: DeviceDescription
    spaces: tuple[dict[str, Scalar], ...]
    timer: dict[str, Scalar]
    sentinel: Sentinel | None
    made: dict[str, str | int]
    calibration: Calibration | None = None
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def dtype(self) -> str:
        """What the layers compute in: the spaces of one table have one dtype."""
        return dtype_of_spaces(self.spaces)


def dtype_of_spaces(spaces: Iterable[Mapping[str, Scalar]]) -> str:
    """The dtype of spaces by their settings, which leave out the usual one."""
    return next((str(space["dtype"]) for space in spaces if "dtype" in space), "float32")
