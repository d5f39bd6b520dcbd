"""The files of a run folder, read as they are. Nothing is computed again, nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from metanas.deploy.verification import Verification, read_verification
from metanas.errors import RunFolderError
from metanas.profiling import LatencyTable, read_table
from metanas.records import from_plain
from metanas.report.records import (
    FOUND,
    SUPERNET,
    RunInfo,
    SearchHeader,
    SearchResult,
    SearchRound,
    TrainedNetwork,
    TrainingStep,
    latency_device,
)

T = TypeVar("T")

_METRICS = ".metrics.jsonl"

_STAGES = {
    "run.json": "what was asked, and with which version and seed",
    "tables/*.tsv": "a device's latency table",
    f"{SUPERNET}{_METRICS}": "training of the super-network",
    "search.jsonl": "the search, round by round",
    "search.json": "the search's result",
    f"{FOUND}{_METRICS}": "retraining of the found network",
    "evaluation.json": "accuracy over test episodes",
    "model.onnx": "the exported network",
    "verify.json": "verification on the device",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entries:
    """evaluation.json: an entry for each network."""

    entries: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFiles:
    """What a run folder holds so far; None or empty where a stage has not run.

    Args:
        folder: the run folder, as an absolute path.
        run: what was asked.
        table: of the device whose latency was constrained, or else the first one's.
        other_tables: devices whose tables are in the folder as well.
        training: name to steps: the super-network's, the found network's, then any other's.
        search_settings: what the search was begun with.
        rounds: of the search.
        search: its result.
        networks: name to what was evaluated, the found network first.
        verification: on the device.
        missing: what is not there, file name to what it would tell.
    """

    folder: Path
    run: RunInfo | None
    table: LatencyTable | None
    other_tables: tuple[str, ...]
    training: dict[str, tuple[TrainingStep, ...]]
    search_settings: dict[str, Any]
    rounds: tuple[SearchRound, ...]
    search: SearchResult | None
    networks: dict[str, TrainedNetwork]
    verification: Verification | None
    missing: dict[str, str]

    @property
    def main_cost(self) -> str:
        """What accuracy is set against: the front's cost, or else a latency, or else `macs`."""
        if self.search:
            return self.search.front_cost
        known: Iterable[str] = self.rounds[0].costs if self.rounds else ()
        return next((cost for cost in known if latency_device(cost)), "macs")


def read_run(folder: Path) -> RunFiles:
    """Read whatever is there.

    Raises:
        RunFolderError: it is no run folder, or a file in it is malformed; the message names it.
        TableError: the same for the latency table.
    """
    missing = {name: tells for name, tells in _STAGES.items() if not any(folder.glob(name))}
    if len(missing) == len(_STAGES):
        raise RunFolderError(
            f"{folder} is not a run folder: it holds none of a run's files",
            hint="give the folder that `metanas quickstart` or `metanas adapt` wrote to",
        )
    search = _read_json(folder / "search.json", SearchResult)
    search_settings, rounds = _read_search(folder / "search.jsonl")
    tables = _tables(folder, search)
    verification = folder / "verify.json"
    return RunFiles(
        folder=folder.resolve(),
        run=_read_json(folder / "run.json", RunInfo),
        table=read_table(tables[0]) if tables else None,
        other_tables=tuple(path.stem for path in tables[1:]),
        training=_read_training(folder),
        search_settings=search_settings,
        rounds=rounds,
        search=search,
        networks=_read_evaluation(folder / "evaluation.json"),
        verification=read_verification(verification) if verification.is_file() else None,
        missing=missing,
    )


def _tables(folder: Path, search: SearchResult | None) -> list[Path]:
    """The tables by device, a constrained device first."""
    constrained = [c.device for c in search.constraints if c.device] if search else []
    paths = sorted(folder.glob("tables/*.tsv"))
    return sorted(paths, key=lambda path: path.stem not in constrained[:1])


def _read_training(folder: Path) -> dict[str, tuple[TrainingStep, ...]]:
    return _in_order(
        {
            path.name.removesuffix(_METRICS): tuple(
                _parse(path, TrainingStep, line, number) for number, line in _lines(path)
            )
            for path in folder.glob(f"*{_METRICS}")
        }
    )


def _read_search(path: Path) -> tuple[dict[str, Any], tuple[SearchRound, ...]]:
    lines = _lines(path)
    if not lines:
        return {}, ()
    header, *rounds = lines
    settings = _parse(path, SearchHeader, header[1], header[0]).settings
    return settings, tuple(_parse(path, SearchRound, line, number) for number, line in rounds)


def _read_evaluation(path: Path) -> dict[str, TrainedNetwork]:
    if not path.is_file():
        return {}
    try:
        entries = from_plain(_Entries, {"entries": json.loads(path.read_bytes())}).entries
        networks = {
            name: from_plain(TrainedNetwork, entry, name) for name, entry in entries.items()
        }
    except ValueError as error:
        raise _malformed(path, error) from error
    return _in_order(networks)


def _in_order(named: dict[str, T]) -> dict[str, T]:
    first = (SUPERNET, FOUND)
    rank = {name: first.index(name) if name in first else len(first) for name in named}
    return {name: named[name] for name in sorted(named, key=lambda name: (rank[name], name))}


def _read_json(path: Path, kind: type[T]) -> T | None:
    if not path.is_file():
        return None
    try:
        return from_plain(kind, json.loads(path.read_bytes()))
    except ValueError as error:
        raise _malformed(path, error) from error


def _lines(path: Path) -> list[tuple[int, bytes]]:
    """Whole lines by number: the run may be at work, and its last line half written."""
    if not path.is_file():
        return []
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return list(enumerate(whole.splitlines(), start=1))


def _parse(path: Path, kind: type[T], line: bytes, number: int) -> T:
    try:
        return from_plain(kind, json.loads(line))
    except ValueError as error:
        raise _malformed(path, error, f", line {number}") from error


def _malformed(path: Path, error: ValueError, where: str = "") -> RunFolderError:
    return RunFolderError(
        f"{path}{where}: {error}", hint="restore the file, or delete it and run its stage again"
    )
