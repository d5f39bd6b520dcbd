"""What a run folder's files say, as typed values.

Light twins of what training and searching write: to read a run must not need torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SUPERNET = "supernet"
FOUND = "found"


def latency_device(cost: str) -> str | None:
    """`pi0` of the cost `latency_ms[pi0]`; None where the cost is no latency."""
    return _device(cost, "latency_ms")


def energy_device(cost: str) -> str | None:
    """`pi0` of the cost `energy_mj[pi0]`; None where the cost is no energy."""
    return _device(cost, "energy_mj")


def _device(cost: str, metric: str) -> str | None:
    name, _, device = cost.partition("[")
    return device.removesuffix("]") if name == metric else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """run.json: what was asked, and what it was made with."""

    settings: dict[str, Any]
    provenance: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStep:
    """A line of *.metrics.jsonl; accuracies are shares from 0 to 1.

    Args:
        step: outer step.
        accuracy: on its training tasks.
        val_accuracy: on the validation tasks, behind the last step of an epoch.
    """

    step: int
    accuracy: float
    val_accuracy: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHeader:
    """First line of search.jsonl: the settings that the search was begun with."""

    settings: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRound:
    """A later line of search.jsonl: in every list, a value for each of the architectures.

    `tasks` says how many of the round's tasks it saw; the poorer ones saw but the first.
    """

    round: int
    architectures: tuple[str, ...]
    tasks: tuple[int, ...]
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    costs: dict[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        if not self.architectures:
            raise ValueError("architectures is empty")
        lists = {
            "tasks": self.tasks,
            "losses": self.losses,
            "accuracies": self.accuracies,
            **self.costs,
        }
        for name, values in lists.items():
            if len(values) != len(self.architectures):
                raise ValueError(
                    f"{name} has {len(values)} values for {len(self.architectures)} architectures"
                )

    def of_compared(self, values: tuple[float, ...]) -> tuple[float, ...]:
        """The values of those that saw all tasks of the round: only these can be compared."""
        most = max(self.tasks)
        pairs = zip(values, self.tasks, strict=True)
        return tuple(value for value, tasks in pairs if tasks == most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """An upper limit on a cost; prints as it was asked for: `latency_ms[pi0]<=20`."""

    metric: str
    limit: float
    device: str | None

    @property
    def cost(self) -> str:
        """What is limited, such as `latency_ms[pi0]`."""
        return f"{self.metric}[{self.device}]" if self.device else self.metric

    def __str__(self) -> str:
        return f"{self.cost}<={self.limit:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An architecture that was scored as a part of the super-network."""

    architecture: str
    accuracy: float
    costs: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """search.json: what the search found under which constraints.

    Args:
        winner: the best of the finalists.
        constraints: what it had to keep within.
        front_cost: the cost that the front trades accuracy against.
        front: candidates that no other one beats in both.
        evaluated: number of distinct architectures that were scored.
    """

    winner: Candidate
    constraints: tuple[Constraint, ...]
    front_cost: str
    front: tuple[Candidate, ...]
    evaluated: int

    def __post_init__(self) -> None:
        if not self.front:
            raise ValueError("front is empty")
        for candidate in self.front:
            _require(candidate.costs, self.front_cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Share of right answers; `interval` is half the width of its 95% interval."""

    accuracy: float
    interval: float
    episodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNetwork:
    """An entry of evaluation.json: a network that was trained by itself, over test episodes.

    Args:
        architecture: its text.
        costs: by name; a latency only of devices whose table was there, an energy where each of
            its rows tells it.
        deployed: each image classified by itself.
        transductive: batch-norm statistics from all query images together, as in the papers.
    """

    architecture: str
    costs: dict[str, float]
    deployed: Accuracy
    transductive: Accuracy

    def __post_init__(self) -> None:
        _require(self.costs, "params", "macs", "size_bytes")

    @property
    def latencies_ms(self) -> dict[str, float]:
        """Device to predicted latency."""
        return self._of_devices(latency_device)

    @property
    def energies_mj(self) -> dict[str, float]:
        """Device to predicted energy."""
        return self._of_devices(energy_device)

    def _of_devices(self, device_of: Callable[[str], str | None]) -> dict[str, float]:
        found = {device_of(cost): value for cost, value in self.costs.items()}
        return {device: value for device, value in found.items() if device is not None}


def _require(costs: dict[str, float], *names: str) -> None:
    for name in names:
        if name not in costs:
            raise ValueError(f"costs lacks {name}")
