r"""The file of a latency table: text that a person reads and `git diff` compares.

The header is a TOML document behind `# `, then come tab-separated rows:

    # format = "metanas latency table 2"
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
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from metanas.errors import TableError
from metanas.files import write_text
from metanas.profiling.table.header import TableHeader
from metanas.profiling.table.latency_table import SHARED_FIELDS, LatencyTable
from metanas.profiling.table.rows import broken, escaped, format_rows, parse_rows
from metanas.profiling.table.sections import header_of

FORMAT = "metanas latency table 2"

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class _Parts(NamedTuple):
    head: dict[str, Any]
    header: TableHeader
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
    count = parts.head["rows"]
    if count and (absent := [name for name in SHARED_FIELDS if name not in parts.head]):
        raise broken(path, f"the header is broken: there is no {' or '.join(absent)}")
    shared = {name: parts.head.get(name) for name in SHARED_FIELDS}
    rows = dict(parse_rows(parts.body, shared, path=path, first=parts.head_lines + 1))
    if len(rows) != count:
        raise broken(path, f"{len(rows)} rows where the header says {count}: truncated?")
    return LatencyTable(parts.header, rows)


def read_header(path: Path) -> dict[str, Any]:
    """The header alone, as plain values, for listing tables.

    Raises:
        TableError: the file is missing or its header is broken.
    """
    return _open(path).head


def format_table(table: LatencyTable) -> str:
    """The text of a table's file."""
    header = table.header
    sections: dict[str, Mapping[str, Any] | None] = {
        "[device]": asdict(header.device),
        "[timer]": header.timer,
        "[sentinel]": asdict(header.sentinel) if header.sentinel else None,
        "[made]": header.made,
        "[calibration]": asdict(header.calibration) if header.calibration else None,
        "[left_out]": header.left_out or None,
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
        *format_rows(table.rows.values()),
    ]
    return "".join(f"{line}\n" for line in lines)


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
    return escaped(value) if isinstance(value, str) else json.dumps(value)


def _open(path: Path) -> _Parts:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            text = stream.read()
    except FileNotFoundError as error:
        raise TableError(
            f"no table at {path}", hint="metanas-profile list shows the tables that are there"
        ) from error
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise broken(path, "not a latency table") from error
    head_lines = list(takewhile(lambda line: line.startswith("# "), text.split("\n")))
    try:
        head = tomllib.loads("".join(f"{line[2:]}\n" for line in head_lines))
    except ValueError as error:  # an integer of thousands of digits is no TOMLDecodeError
        raise broken(path, f"the header is broken: {error}") from error
    if head.get("format") != FORMAT:
        raise broken(path, f"format is {head.get('format')!r}, not {FORMAT!r}", line=1)
    if type(head.get("rows")) is not int:
        raise broken(path, "the header does not say how many rows there are")
    try:
        header = header_of(head)
    except ValueError as error:
        raise broken(path, f"the header is broken: {error}") from error
    body = text[sum(len(line) + 1 for line in head_lines) :]
    return _Parts(head, header, body, len(head_lines))
