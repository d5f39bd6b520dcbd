r"""The file of a latency table: text that a person reads and `git diff` compares.

The header is a TOML document behind `# `, then come tab-separated rows:

    # format = "metanas latency table 1"
    # rows = 2801
    # source = "measured"
    # ...
    # [device]
    # name = "local"
    # ...
    layer	median_ms	low_ms	high_ms	...
    empty/1x1x1	0.0025	0.0024	0.0026	...
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from metanas.devices.device import DeviceDescription
from metanas.errors import (
    EmulatedTableError,
    InvalidLayerError,
    InvalidMeasurementError,
    TableError,
)
from metanas.files import write_text
from metanas.profiling.table import SHARED_FIELDS, LatencyTable, Sentinel, TableHeader
from metanas_agent.layers import parse_layer
from metanas_agent.measurement import Measurement

FORMAT = "metanas latency table 1"

_COLUMNS: dict[str, type[float] | type[int] | type[str]] = {
    "median_ms": float,
    "low_ms": float,
    "high_ms": float,
    "p10_ms": float,
    "p90_ms": float,
    "samples": int,
    "repeats": int,
    "clock_mhz_before": float,
    "clock_mhz_after": float,
    "temperature_c": float,
    "throttled": int,
    "verdict": str,
    "reason": str,
}
_OPTIONAL = ("clock_mhz_before", "clock_mhz_after", "temperature_c", "throttled")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class _Parts(NamedTuple):
    head: dict[str, Any]
    body: str
    head_lines: int


def write_table(table: LatencyTable, path: Path) -> None:
    """Replace the file as a whole."""
    write_text(path, format_table(table))


def read_table(path: Path) -> LatencyTable:
    """Read what `write_table` wrote; equal to what was written.

    Raises:
        TableError: the file is missing, truncated, edited to nonsense or of another format
            version; the message names the line.
    """
    parts = _open(path)
    try:
        count = parts.head["rows"]
        shared = {name: parts.head[name] for name in SHARED_FIELDS if count}
        header = _header(parts.head)
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(path, f"the header is incomplete: {error}") from error
    rows = dict(_rows(path, parts, shared))
    if len(rows) != count:
        raise _broken(path, f"{len(rows)} different rows where the header says {count}: truncated?")
    return LatencyTable(header, rows)


def read_header(path: Path) -> dict[str, Any]:
    """The header alone, as plain values, for listing tables.

    Raises:
        TableError: the file is missing or its header is broken.
    """
    return _open(path).head


def refuse_emulated(path: Path) -> None:
    """See that a table does not come from an emulator, whose times are nobody's.

    Raises:
        EmulatedTableError: it does.
        TableError: the file is missing or its header is broken.
    """
    if read_header(path).get("source") == "emulated":
        raise EmulatedTableError(
            f"{path} was timed under an emulator: it says nothing of a real board's speed",
            hint="measure the board itself, or give --allow-emulated to try things out",
        )


def format_table(table: LatencyTable) -> str:
    """The text of a table's file."""
    header = table.header
    sections: dict[str, Mapping[str, Any] | None] = {
        "[device]": asdict(header.device),
        "[timer]": header.timer,
        "[sentinel]": asdict(header.sentinel) if header.sentinel else None,
        "[made]": header.made,
    }
    head = [*_toml({"format": FORMAT, "rows": len(table.rows)})]
    if table.rows:
        head += _toml({name: table.shared(name) for name in SHARED_FIELDS})
    for title, values in sections.items():
        head += [title, *_toml(values)] if values is not None else []
    for space in header.spaces:
        head += ["[[space]]", *_toml(space)]
    lines = [
        *(f"# {line}" for line in head),
        "\t".join(["layer", *_COLUMNS]),
        *("\t".join([row.key, *_cells(row)]) for row in table.rows.values()),
    ]
    return "".join(f"{line}\n" for line in lines)


def _cells(row: Measurement) -> Iterator[str]:
    for name, kind in _COLUMNS.items():
        value = getattr(row, name)
        if value is None:
            yield ""
        else:  # a text is escaped as in JSON, so that tabs and line ends only separate
            yield _json(value)[1:-1] if kind is str else str(kind(value))


def _values(texts: Sequence[str]) -> dict[str, Any]:
    return {
        name: _value(name, kind, text)
        for (name, kind), text in zip(_COLUMNS.items(), texts, strict=True)
    }


def _value(name: str, kind: type, text: str) -> Any:
    if not text and name in _OPTIONAL:
        return None
    return json.loads(f'"{text}"') if kind is str else kind(text)


def _toml(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Lines of TOML; JSON writes strings, numbers and booleans just as TOML does.

    TOML has no null: what is None is left out.
    """
    for name, value in values.items():
        key = prefix + (name if _BARE_KEY.fullmatch(name) else _json(name))
        if isinstance(value, Mapping):
            yield from _toml(value, f"{key}.")
        elif value is not None:
            yield f"{key} = {_json(value)}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _broken(path: Path, what: str, line: int | None = None) -> TableError:
    where = f"{path}, line {line}" if line else str(path)
    return TableError(f"{where}: {what}", hint="profile the device again, or restore the file")


def _open(path: Path) -> _Parts:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            text = stream.read()
    except FileNotFoundError as error:
        raise TableError(
            f"no table at {path}", hint="metanas-profile list shows the tables that are there"
        ) from error
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise _broken(path, "not a latency table") from error
    head_lines = list(takewhile(lambda line: line.startswith("# "), text.split("\n")))
    try:
        head = tomllib.loads("".join(f"{line[2:]}\n" for line in head_lines))
    except tomllib.TOMLDecodeError as error:
        raise _broken(path, f"the header is broken: {error}") from error
    if head.get("format") != FORMAT:
        raise _broken(path, f"format is {head.get('format')!r}, not {FORMAT!r}", line=1)
    if type(head.get("rows")) is not int:
        raise _broken(path, "the header does not say how many rows there are")
    body = text[sum(len(line) + 1 for line in head_lines) :]
    return _Parts(head, body, len(head_lines))


def _header(head: Mapping[str, Any]) -> TableHeader:
    device = dict(head["device"])
    device.setdefault("runtimes", {})
    return TableHeader(
        device=DeviceDescription(**device),
        spaces=tuple(head.get("space", ())),
        timer=head["timer"],
        sentinel=Sentinel(**head["sentinel"]) if "sentinel" in head else None,
        made=head["made"],
    )


def _rows(
    path: Path, parts: _Parts, shared: Mapping[str, Any]
) -> Iterator[tuple[str, Measurement]]:
    names, *lines = (line.removesuffix("\r") for line in parts.body.split("\n"))
    first = parts.head_lines + 1
    if names.split("\t") != ["layer", *_COLUMNS]:
        raise _broken(path, "not the column names that belong here", first)
    for number, line in enumerate(lines, first + 1):
        if not line:
            continue
        key, *texts = line.split("\t")
        try:
            parse_layer(key)
            yield key, Measurement(key=key, **_values(texts), **shared)
        except (InvalidLayerError, InvalidMeasurementError) as error:
            raise _broken(path, error.what, number) from error
        except ValueError as error:
            raise _broken(path, f"not a row: {error}", number) from error
