"""The rows of a table's file: tab-separated cells below the names of their columns.

A table of thousands of rows is read in some ten milliseconds: cells are parsed a column at a time,
and alike texts once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import Any

from metanas.errors import InvalidLayerError, InvalidMeasurementError, TableError
from metanas_agent.layers import parse_layer
from metanas_agent.measurement import Measurement


@lru_cache(maxsize=1024)
def _text(cell: str) -> str:
    text: str = json.loads(f'"{cell}"')
    return text


def _float_or_none(cell: str) -> float | None:
    return float(cell) if cell else None


def _int_or_none(cell: str) -> int | None:
    return int(cell) if cell else None


def _text_or_none(cell: str) -> str | None:
    return _text(cell) if cell else None


COLUMNS: dict[str, Callable[[str], float | str | None]] = {
    "median_ms": float,
    "low_ms": float,
    "high_ms": float,
    "p10_ms": float,
    "p90_ms": float,
    "samples": int,
    "repeats": int,
    "source": _text,
    "clock_mhz_before": _float_or_none,
    "clock_mhz_after": _float_or_none,
    "governor": _text_or_none,
    "temperature_c_before": _float_or_none,
    "temperature_c_after": _float_or_none,
    "throttled_before": _int_or_none,
    "throttled_after": _int_or_none,
    "energy_mj": _float_or_none,
    "verdict": _text,
    "reason": _text,
}
"""How a cell of each column is read."""

_FIELDS = tuple(field.name for field in fields(Measurement))


def format_rows(rows: Iterable[Measurement]) -> Iterator[str]:
    """The line of the columns' names, then one for each row."""
    yield "\t".join(["layer", *COLUMNS])
    for row in rows:
        yield "\t".join([row.key, *_cells(row)])


def parse_rows(
    text: str, shared: Mapping[str, Any], *, path: Path, first: int
) -> Iterator[tuple[str, Measurement]]:
    """Key and row of each line; each row is checked as it is taken.

    Args:
        text: behind the header.
        shared: of `SHARED_FIELDS`, what the header says.
        path: of the file, for messages.
        first: number of the text's first line in the file.

    Raises:
        TableError: a line is no row, or of a layer that has one already; the message names it.
    """
    head, *rest = (line.removesuffix("\r") for line in text.split("\n"))
    names = ["layer", *COLUMNS]
    if head.split("\t") != names:
        raise broken(path, "not the column names that belong here", first)
    lines = {number: line for number, line in enumerate(rest, first + 1) if line}
    for number, line in lines.items():
        if line.count("\t") != len(COLUMNS):
            count = 1 + line.count("\t")
            raise broken(path, f"not a row: {count} cells in {len(names)} columns", number)
    cells = "\t".join(lines.values()).split("\t")  # all of them at once: row after row
    keys, *columns = (cells[at :: len(names)] for at in range(len(names)))
    values: dict[str, Iterator[Any]] = {name: repeat(value) for name, value in shared.items()}
    values["key"] = iter(keys)
    for (name, parse), column in zip(COLUMNS.items(), columns, strict=True):
        values[name] = map(parse, column)
    made = map(Measurement, *(values[name] for name in _FIELDS))  # by place: names cost a third
    found: dict[str, int] = {}
    for number, key in zip(lines, keys, strict=False):  # without lines, there is one empty key
        if found.setdefault(key, number) != number:  # as git may leave it, merging two versions
            raise broken(path, f"{key} has a row already, on line {found[key]}", number)
        try:
            parse_layer(key)
            yield key, next(made)  # parses the cells of this row alone
        except (InvalidLayerError, InvalidMeasurementError) as error:
            raise broken(path, error.what, number) from error
        except ValueError as error:
            raise broken(path, f"not a row: {error}", number) from error


def broken(path: Path, what: str, line: int | None = None) -> TableError:
    """What is wrong with a table's file."""
    where = f"{path}, line {line}" if line else str(path)
    return TableError(f"{where}: {what}", hint="profile the device again, or restore the file")


def escaped(text: str) -> str:
    """A text as JSON and TOML write it, quotes included."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def rounded(row: Measurement) -> Measurement:
    """The row with six significant digits: more is noise, and hides changes in a diff."""
    names = ("median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms", "energy_mj")
    known = {name: value for name in names if (value := getattr(row, name)) is not None}
    values: dict[str, Any] = {name: float(f"{value:.6g}") for name, value in known.items()}
    return replace(row, **values)


def _cells(row: Measurement) -> Iterator[str]:
    for name, parse in COLUMNS.items():
        value = getattr(row, name)
        if value is None:
            yield ""
        elif isinstance(value, str):  # as in JSON, so that tabs and line ends only separate
            yield escaped(value)[1:-1]
        else:  # a whole number in a column of fractions is written as one
            yield str(value if parse in (int, _int_or_none) else float(value))
