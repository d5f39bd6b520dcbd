"""The files of a run folder, as typed values. Nothing is computed again, nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from metanas.deploy.verification import Verification, read_verification
from metanas.errors import RunFolderError
from metanas.profiling.table import LatencyTable
from metanas.profiling.table_file import read_table
from metanas.records import from_plain

T = TypeVar("T")

TRAININGS = ("supernet", "found", "baseline")

_STAGES = {
    "run.json": "what was asked, and with which version and seed",
    "table.tsv": "the device's latency table",
    "supernet.metrics.jsonl": "training of the super-network",
    "search.jsonl": "the search, round by round",
    "search.json": "the search's result",
    "found.metrics.jsonl": "retraining of the found network",
    "baseline.metrics.jsonl": "training of the baseline",
    "evaluation.json": "accuracy over test episodes",
    "model.onnx": "the exported network",
    "verify.json": "verification on the device",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """run.json: what was asked, and what it was made with."""

    settings: dict[str, Any]
    provenance: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStep:
    """A line of *.metrics.jsonl; accuracies are shares from 0 to 1."""

    step: int
    loss: float
    accuracy: float
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRound:
    """A line of search.jsonl: the architectures of one round, a value each in every list."""

    round: int
    architectures: tuple[str, ...]
    losses: tuple[float | None, ...]
    accuracies: tuple[float | None, ...]
    latency_ms: tuple[float, ...]
    params: tuple[int, ...]
    macs: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("losses", "accuracies", "latency_ms", "params", "macs"):
            if len(getattr(self, name)) != len(self.architectures):
                raise ValueError(
                    f"{name} has {len(getattr(self, name))} values for "
                    f"{len(self.architectures)} architectures"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontPoint:
    """An architecture that no other one beats in both latency and accuracy."""

    architecture: str
    accuracy: float
    latency_ms: float
    params: int
    macs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """search.json: what the search found under which constraints."""

    winner: str
    evaluated: int
    constraints: tuple[str, ...] = ()
    limits: dict[str, Any] = field(default_factory=dict)
    front: tuple[FrontPoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Share of right answers; `interval` is half the width of its 95% interval."""

    accuracy: float
    interval: float
    episodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkEvaluation:
    """One network over test episodes.

    `deployed` classifies one image at a time; `transductive` takes batch-norm statistics from the
    query images, as the papers do.
    """

    architecture: str
    params: int
    macs: int
    size_bytes: int
    predicted_latency_ms: float
    deployed: Accuracy
    transductive: Accuracy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """evaluation.json: the found network beside a hand-made one."""

    found: NetworkEvaluation
    baseline: NetworkEvaluation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFiles:
    """What a run folder holds so far; None or empty where a stage has not run.

    Args:
        folder: the run folder.
        training: lines of each of `TRAININGS` that is there.
        model_bytes: size of model.onnx.
        missing: what is not there, file name to what it would tell.
    """

    folder: Path
    run: RunInfo | None
    table: LatencyTable | None
    training: dict[str, tuple[TrainingStep, ...]]
    rounds: tuple[SearchRound, ...]
    search: SearchResult | None
    evaluation: Evaluation | None
    verification: Verification | None
    model_bytes: int | None
    missing: dict[str, str]


def read_run(folder: Path) -> RunFiles:
    """Read whatever is there.

    Raises:
        RunFolderError: it is no run folder, or a file in it is malformed; the message names it.
        TableError: the same for the latency table.
    """
    there = {name for name in _STAGES if (folder / name).is_file()}
    if not there:
        raise RunFolderError(
            f"{folder} is not a run folder: it holds none of a run's files",
            hint="give the folder that `metanas quickstart` or `metanas adapt` wrote to",
        )

    def value(name: str, kind: type[T]) -> T | None:
        return _read_json(folder / name, kind) if name in there else None

    def read(name: str, reader: Callable[[Path], T]) -> T | None:
        return reader(folder / name) if name in there else None

    return RunFiles(
        folder=folder,
        run=value("run.json", RunInfo),
        table=read("table.tsv", read_table),
        training={
            name: _read_lines(folder / f"{name}.metrics.jsonl", TrainingStep)
            for name in TRAININGS
            if f"{name}.metrics.jsonl" in there
        },
        rounds=read("search.jsonl", lambda path: _read_lines(path, SearchRound)) or (),
        search=value("search.json", SearchResult),
        evaluation=value("evaluation.json", Evaluation),
        verification=read("verify.json", read_verification),
        model_bytes=read("model.onnx", lambda path: path.stat().st_size),
        missing={name: tells for name, tells in _STAGES.items() if name not in there},
    )


def _read_json(path: Path, kind: type[T]) -> T:
    try:
        return from_plain(kind, json.loads(path.read_bytes()))
    except ValueError as error:
        raise _malformed(path, error) from error


def _read_lines(path: Path, kind: type[T]) -> tuple[T, ...]:
    """Whole lines only: the run may be at work, and its last line half written."""
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    records = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            records.append(from_plain(kind, json.loads(line)))
        except ValueError as error:
            raise _malformed(path, error, f", line {number}") from error
    return tuple(records)


def _malformed(path: Path, error: ValueError, where: str = "") -> RunFolderError:
    return RunFolderError(
        f"{path}{where}: {error}", hint="restore the file, or delete it and run its stage again"
    )
