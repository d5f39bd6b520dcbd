"""Journal: what a sweep has timed so far, beside the table that it will become.

The first line says how the sweep is made; each other line is one timing, written as soon as it is
known. So a kill at any instant loses at most the row in flight.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metanas.errors import InvalidMeasurementError, TableError
from metanas.files import append_json_line, read_json_lines
from metanas.profiling.timings.making import Making, check_same_making
from metanas_agent.measurement import Measurement

Purpose = Literal["row", "sentinel"]


@dataclass(frozen=True, slots=True)
class Timing:
    """One line of a journal: a timing for the table, or one of the sentinel."""

    purpose: Purpose
    row: Measurement


class Journal:
    """Append-only timings of one sweep.

    Args:
        path: of the file; made by the first timing.
        making: how this sweep is made.
        fresh: whether the sweep ignores a table that is there already, and this file unless it
            was begun so; the first timing then replaces what is in it.

    Raises:
        TableError: the file is broken, and not `fresh`.
        TableMismatchError: the file is of a sweep made in another way, and not `fresh`; it stays
            as it was.
    """

    def __init__(self, path: Path, making: Making, *, fresh: bool = False) -> None:
        self.path = path
        self.making = making
        self.fresh = fresh
        self.timings: list[Timing] = []
        self._begun = False
        try:
            begun_fresh, timings = _read(path, making)
        except TableError:
            if not fresh:
                raise
            return
        if timings is not None and (begun_fresh or not fresh):
            self.fresh, self.timings, self._begun = begun_fresh, timings, True

    @property
    def sentinel(self) -> str:
        """The sentinel's key, empty where none was timed yet."""
        keys = (timing.row.key for timing in self.timings if timing.purpose == "sentinel")
        return next(keys, "")

    def add(self, timing: Timing) -> None:
        """Write one timing through to the disk."""
        if not self._begun:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                os.truncate(self.path, 0)  # not removed: it is the sweep's lock too
            append_json_line(self.path, {"fresh": self.fresh, "making": self.making})
            self._begun = True
        append_json_line(self.path, {timing.purpose: timing.row.to_dict()})
        self.timings.append(timing)

    def remove(self) -> None:
        """Forget it: its table is written and has all that can be had."""
        self.path.unlink(missing_ok=True)


def journal_path(table: Path) -> Path:
    """Where the journal of a table's sweep lies."""
    return table.with_name(f"{table.name}.journal.jsonl")


def _read(path: Path, making: Making) -> tuple[bool, list[Timing] | None]:
    """Whether the sweep was begun fresh, and its timings; None where nothing was begun."""
    try:
        lines = read_json_lines(path)
    except ValueError as error:
        raise _broken(path, "not lines of JSON") from error
    if not lines:
        return False, None
    fresh = _read_head(path, lines[0], making)
    return fresh, [_timing(path, line, at) for at, line in enumerate(lines[1:], 2)]


def _read_head(path: Path, line: object, making: Making) -> bool:
    match line:
        case {"fresh": bool(fresh), "making": dict(theirs)}:
            check_same_making(path, theirs, making)
            return fresh
    raise _broken(path, "line 1 does not say how the sweep is made")


def _timing(path: Path, line: object, number: int) -> Timing:
    try:
        if isinstance(line, dict) and len(line) == 1:
            ((purpose, values),) = line.items()
            if purpose in ("row", "sentinel"):
                return Timing(purpose, Measurement.from_dict(values))
    except InvalidMeasurementError as error:
        raise _broken(path, f"line {number}: {error.what}") from error
    raise _broken(path, f"line {number} is no timing")


def _broken(path: Path, what: str) -> TableError:
    return TableError(f"{path}: {what}", hint="start over with --fresh")
