"""Verification: what was promised against what the device did, as a file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from metanas.deploy.agreement import Agreement
from metanas.errors import InvalidMeasurementError, RunFolderError
from metanas.files import write_json
from metanas.records import from_plain
from metanas_agent.measurement import Measurement

LATENCY_TOLERANCE = 0.25
"""Largest gap between measured and predicted latency, as a share of the prediction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The latency that a table promises.

    Args:
        latency_ms: sum over the network's layers.
        low_ms: lower end of the sum's 95% confidence interval.
        high_ms: its upper end.
        source: of the table's rows: `measured`, `simulated` or `estimated`.

    Raises:
        InvalidMeasurementError: the latency is not above 0 or not inside its interval.
    """

    latency_ms: float
    low_ms: float
    high_ms: float
    source: str

    def __post_init__(self) -> None:
        if not (self.latency_ms > 0 and self.low_ms <= self.latency_ms <= self.high_ms):
            raise InvalidMeasurementError(
                f"predicted latency {self.latency_ms} ms ({self.low_ms} to {self.high_ms})",
                hint="profile the device again",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What was verified.

    Args:
        name: of the training in the run folder, such as `found`.
        architecture: its text.
    """

    name: str
    architecture: str


LatencyVerdict = Literal["as predicted", "as predicted for its pace", "off", "throttled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What running exported networks on a device showed.

    Args:
        device: the device's name.
        network: name and text of the architecture that ran there.
        agreement: of the device's logits with the host's.
        device_accuracy: share of the images that the device classified rightly.
        host_accuracy: the same on the host.
        predicted: latency that was promised.
        measured: latency of one call with one image, of the network with the median latency.
        medians_ms: median latency of each network that was run.
        peak_memory_bytes: largest of the processes that ran them, None if unknown.
        slowdown: how much slower the device was now than when its table was made, None if that
            is not known.
        notes: what else a reader should know, one sentence each.
        latency_tolerance: largest share that `measured` may be off.
        provenance: of the file.
    """

    device: str
    network: Network
    agreement: Agreement
    device_accuracy: float
    host_accuracy: float
    predicted: Prediction
    measured: Measurement
    medians_ms: tuple[float, ...]
    peak_memory_bytes: int | None
    slowdown: float | None = None
    notes: tuple[str, ...] = ()
    latency_tolerance: float = LATENCY_TOLERANCE
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the device computes what the host computes. Latency has its own verdict."""
        return self.agreement.within

    @property
    def ratio(self) -> float:
        """Measured latency divided by predicted latency."""
        return self.measured.median_ms / self.predicted.latency_ms

    @property
    def latency_verdict(self) -> LatencyVerdict:
        """`off` beyond the tolerance, unless the whole device is off by as much.

        `throttled` where the device says that it slowed itself down.
        """
        if self.measured.verdict == "throttled":
            return "throttled"
        if self._is_near(self.ratio):
            return "as predicted"
        if self.slowdown and self._is_near(self.ratio / self.slowdown):
            return "as predicted for its pace"
        return "off"

    def _is_near(self, ratio: float) -> bool:
        return abs(ratio - 1) <= self.latency_tolerance

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the outputs failed and why the latency is not as predicted; empty if all is well."""
        reasons = []
        if not self.agreement.within:
            reasons.append(
                f"logits differ by up to {self.agreement.largest_share:.1e} of their range "
                f"(allowed: {self.agreement.tolerance:.0e}), and top-1 on "
                f"{self.agreement.disagreements} of {self.agreement.images} images"
            )
        if self.latency_verdict == "off":
            reasons.append(
                f"measured latency is {self.ratio:.2f} times the predicted one "
                f"(allowed: {1 - self.latency_tolerance:.2f} to {1 + self.latency_tolerance:.2f})"
            )
        if self.latency_verdict == "as predicted for its pace":
            reasons.append(
                f"measured latency is {self.ratio:.2f} times the predicted one, and the device is "
                f"{self.slowdown:.2f} times as slow as when its table was made: profile it again"
            )
        if self.latency_verdict == "throttled":
            reasons.append("the device was throttled, so its latency proves nothing")
        return tuple(reasons)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the verdicts among them for whoever reads only the file."""
        verdicts = {
            "passed": self.passed,
            "latency_verdict": self.latency_verdict,
            "ratio": self.ratio,
            "reasons": list(self.reasons),
        }
        return {**verdicts, **asdict(self)}


def write_verification(path: Path, verification: Verification) -> None:
    """Replace the file as a whole."""
    write_json(path, verification.to_dict())


def read_verification(path: Path) -> Verification:
    """Read what `write_verification` wrote.

    Raises:
        RunFolderError: the file is missing, broken or of another kind.
    """
    try:
        return from_plain(Verification, json.loads(path.read_bytes()))
    except (OSError, ValueError, InvalidMeasurementError) as error:
        raise RunFolderError(
            f"{path}: no verification can be read from it: {error}",
            hint="run `metanas verify` again",
        ) from error
