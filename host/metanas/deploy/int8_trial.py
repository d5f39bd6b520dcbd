"""Int8Trial: what int8 costs and gains on a device, and whether it is worth it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from metanas.deploy.accuracy import EpisodeAccuracy
from metanas.deploy.prediction import Prediction
from metanas.deploy.result_file import read_result
from metanas.files import write_json
from metanas_agent.samples import FEWEST, median_interval

MOST_LOSS = 0.01
"""Of accuracy, that int8 may cost: one point."""

FEWEST_TASKS = FEWEST
"""Of fewer there is no interval of the speed-up."""

_Z_95 = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one of the two kinds of files did on the device.

    Args:
        accuracy: over the tasks.
        latency_ms: median over the tasks of one call's median latency.
        size_bytes: of the first task's file.
        peak_memory_bytes: largest of the processes that ran them, None if unknown.
    """

    accuracy: EpisodeAccuracy
    latency_ms: float
    size_bytes: int
    peak_memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """A comparison task by task, so that what tasks or moments differ in falls away.

    Args:
        value: over the tasks.
        low: lower end of its 95% confidence interval.
        high: its upper end.
    """

    value: float
    low: float
    high: float

    @classmethod
    def mean(cls, values: Sequence[float]) -> Self:
        """The mean of one value a task."""
        value = statistics.fmean(values)
        half = _Z_95 * statistics.stdev(values) / math.sqrt(len(values))
        return cls(value=value, low=value - half, high=value + half)

    @classmethod
    def median(cls, values: Sequence[float]) -> Self:
        """The median of one value a task, which a disturbed run does not move."""
        low, high = median_interval(sorted(values))
        return cls(value=statistics.median(values), low=low, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Trial:
    """What int8 costs and gains on a device, and whether it is worth it.

    Args:
        device: the device's name.
        name: of the training in the run folder, such as `found`.
        architecture: its text.
        tasks: how many were tried.
        images: that were classified, in all.
        float32: the exported files.
        int8: their quantised twins.
        loss: accuracy that int8 costs, as a share of the images; the mean.
        speed_up: latency of float32 divided by that of int8; the median.
        top1: share of the images on which both choose the same class.
        throttled: runs during which the device slowed itself down.
        emulated: runs that an emulator timed, whose latency says nothing.
        most_loss: largest loss that is allowed.
        predicted: what an int8 table promised of the int8 file, None if there is none.
        provenance: of the file.
    """

    device: str
    name: str
    architecture: str
    tasks: int
    images: int
    float32: Side
    int8: Side
    loss: Paired
    speed_up: Paired
    top1: float
    throttled: int
    emulated: int = 0
    most_loss: float = MOST_LOSS
    predicted: Prediction | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        """Whether int8 is surely faster and surely loses no more than allowed, by sound timings.

        Surely: with the whole 95% interval on the right side.
        """
        return not self.reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why int8 is rejected; empty if it is kept."""
        reasons = []
        if self.loss.high > self.most_loss:
            known = "costs" if self.loss.value > self.most_loss else "may cost"
            reasons.append(
                f"int8 {known} more than {100 * self.most_loss:g} points of accuracy: "
                f"{100 * self.loss.value:.2f} ({100 * self.loss.low:.2f} to "
                f"{100 * self.loss.high:.2f}) over {self.tasks} tasks"
            )
        if self.speed_up.low <= 1:
            reasons.append(
                f"int8 is not surely faster: {self.speed_up.value:.2f} times "
                f"({self.speed_up.low:.2f} to {self.speed_up.high:.2f}) as fast as float32"
            )
        if self.throttled:
            reasons.append(f"{self.throttled} of {2 * self.tasks} runs were throttled")
        if self.emulated:
            reasons.append(f"an emulator timed {self.emulated} of {2 * self.tasks} runs")
        return tuple(reasons)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the verdict for whoever reads only the file."""
        return {"kept": self.kept, "reasons": list(self.reasons), **asdict(self)}


def write_trial(path: Path, trial: Int8Trial) -> None:
    """Replace the file as a whole."""
    write_json(path, trial.to_dict())


def read_trial(path: Path) -> Int8Trial:
    """Read what `write_trial` wrote.

    Raises:
        RunFolderError: the file is missing, broken or of another kind.
    """
    return read_result(path, Int8Trial, "trial of int8", made_by="metanas quantise")
