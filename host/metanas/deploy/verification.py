"""Verification: what was promised against what the device did, as a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from metanas.deploy.accuracy import EpisodeAccuracy
from metanas.deploy.agreement import Agreement
from metanas.deploy.memory import PeakMemory, largest_promised
from metanas.deploy.prediction import Prediction
from metanas.deploy.result_file import read_result
from metanas.files import write_json
from metanas_agent.measurement import Measurement

LATENCY_TOLERANCE = 0.25
"""Largest gap between measured and predicted latency, as a share of the prediction."""

ACCURACY_TOLERANCE = 0.01
"""Largest share of the accuracy that a device may lose against the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What was verified.

    Args:
        name: of the training in the run folder, such as `found`, or of the file.
        architecture: its text.
        dtype: of the file's layers: `float32` or `int8`; verifying finds out.
        depth: layers with weights, one behind the other; likewise.
    """

    name: str
    architecture: str
    dtype: str = "float32"
    depth: int = 0


LatencyVerdict = Literal[
    "as predicted", "as predicted for its pace", "not predicted", "emulated", "off", "throttled"
]
MemoryVerdict = Literal["as promised", "not promised", "unknown", "above"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What running exported networks on a device showed.

    Args:
        device: the device's name.
        network: which network ran there.
        agreement: of the device's logits with the host's.
        device_accuracy: few-shot accuracy on the device, None if the images have no labels.
        host_accuracy: the same on the host.
        predicted: what was promised, None if nothing was.
        measured: latency of one call with one image, of the network with the median latency.
        medians_ms: median latency of each network that was timed.
        memory: what it took, None if the device does not tell.
        slowdown: how much slower the device was now than when its table was made, None if that
            is not known.
        notes: what else a reader should know, one sentence each.
        latency_tolerance: largest share that `measured` may be off.
        provenance: of the file.
    """

    device: str
    network: Network
    agreement: Agreement
    device_accuracy: EpisodeAccuracy | None
    host_accuracy: EpisodeAccuracy | None
    predicted: Prediction | None
    measured: Measurement
    medians_ms: tuple[float, ...]
    memory: PeakMemory | None
    slowdown: float | None = None
    notes: tuple[str, ...] = ()
    latency_tolerance: float = LATENCY_TOLERANCE
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the device keeps everything that was promised."""
        return not self.reasons

    @property
    def outputs_pass(self) -> bool:
        """Whether the device computes what the host computes."""
        return self.agreement.within

    @property
    def lost_accuracy(self) -> float:
        """Share of the images that only the host classified rightly, less those of the device."""
        if self.device_accuracy is None or self.host_accuracy is None:
            return 0.0
        return self.host_accuracy.accuracy - self.device_accuracy.accuracy

    @property
    def ratio(self) -> float | None:
        """Measured latency divided by predicted latency."""
        return self.measured.median_ms / self.predicted.latency_ms if self.predicted else None

    @property
    def latency_verdict(self) -> LatencyVerdict:
        """`off` beyond the tolerance, unless the whole device is off by as much.

        `throttled` where the device says that it slowed itself down; `emulated` where the time
        means nothing of the board's.
        """
        if self.measured.verdict == "throttled":
            return "throttled"
        if self.ratio is None:
            return "not predicted"
        if self._is_near(self.ratio):
            return "as predicted"
        if self.slowdown and self._is_near(self.ratio / self.slowdown):
            return "as predicted for its pace"
        return "emulated" if self.measured.source == "emulated" else "off"

    def _is_near(self, ratio: float) -> bool:
        return abs(ratio - 1) <= self.latency_tolerance

    @property
    def memory_verdict(self) -> MemoryVerdict:
        """`above` where the network took more than runtimes do; see `MEMORY_FACTOR`."""
        if self._promised_bytes is None:
            return "not promised"
        if self._taken_bytes is None:
            return "unknown"
        within = self._taken_bytes <= largest_promised(self._promised_bytes)
        return "as promised" if within else "above"

    @property
    def _promised_bytes(self) -> int | None:
        return self.predicted.memory_bytes if self.predicted else None

    @property
    def _taken_bytes(self) -> int | None:
        return self.memory.network_bytes if self.memory else None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it did not pass, one sentence each; empty if it did."""
        return tuple(self._reasons())

    def _reasons(self) -> Iterator[str]:
        agreement = self.agreement
        if not agreement.within:
            yield (
                f"logits differ by up to {agreement.largest_share:.1e} of their range, 99.9% of "
                f"them by up to {agreement.p999_share:.1e} (allowed: {agreement.tolerance:.1e} and "
                f"{agreement.p999_tolerance:.1e}), and top-1 on "
                f"{agreement.disagreements} of {agreement.images} images"
            )
        if self.lost_accuracy > ACCURACY_TOLERANCE:
            yield (
                f"accuracy on the device is {self.lost_accuracy * 100:.1f} points below the host's "
                f"(allowed: {ACCURACY_TOLERANCE * 100:.0f})"
            )
        if self.latency_verdict == "off":
            yield (
                f"measured latency is {self.ratio:.3f} times the predicted one "
                f"(allowed: {1 - self.latency_tolerance:.3f} to {1 + self.latency_tolerance:.3f})"
            )
        if self.latency_verdict == "throttled":
            yield "the device was throttled, so its latency proves nothing: let it cool"
        if self.memory_verdict == "above":
            yield (
                f"the network took {self._taken_bytes} bytes of memory, promised were "
                f"{self._promised_bytes}: more than a runtime adds"
            )

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader should know of a verdict that passed all the same, and the notes."""
        if self.latency_verdict != "as predicted for its pace":
            return self.notes
        pace = (
            f"measured latency is {self.ratio:.2f} times the predicted one, and the device is "
            f"{self.slowdown:.2f} times as slow as when its table was made: profile it again"
        )
        return (pace, *self.notes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the verdicts among them for whoever reads only the file."""
        verdicts = {
            "passed": self.passed,
            "outputs_pass": self.outputs_pass,
            "latency_verdict": self.latency_verdict,
            "memory_verdict": self.memory_verdict,
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
    return read_result(path, Verification, "verification", made_by="metanas verify")
