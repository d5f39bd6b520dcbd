"""Files that a kill at any instant leaves whole: atomic replacement, and append-only journals."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from metanas_agent.files import replacing, write_bytes

__all__ = [
    "append_json_line",
    "cache_folder",
    "config_folder",
    "data_folder",
    "read_json_lines",
    "replacing",
    "write_bytes",
    "write_json",
    "write_json_lines",
    "write_text",
]


def cache_folder() -> Path:
    """METANAS_CACHE, else XDG_CACHE_HOME/metanas, else ~/.cache/metanas."""
    own = os.environ.get("METANAS_CACHE")
    return Path(own) if own else _user_folder("XDG_CACHE_HOME", "~/.cache")


def config_folder() -> Path:
    """Where a user's settings lie: XDG_CONFIG_HOME/metanas, else ~/.config/metanas."""
    return _user_folder("XDG_CONFIG_HOME", "~/.config")


def data_folder() -> Path:
    """Where a user's tables lie: XDG_DATA_HOME/metanas, else ~/.local/share/metanas."""
    return _user_folder("XDG_DATA_HOME", "~/.local/share")


def _user_folder(variable: str, default: str) -> Path:
    """As the XDG base directory specification says."""
    return Path(os.environ.get(variable) or default).expanduser() / "metanas"


def write_text(path: Path, text: str) -> None:
    """Replace a text file as a whole."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file as a whole."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_json_lines(path: Path, values: Iterable[Any]) -> None:
    """Replace a journal as a whole."""
    write_text(path, "".join(map(_json_line, values)))


def append_json_line(path: Path, value: Any) -> None:
    """Add one line to a journal; only this line can be lost by a kill of the process.

    It is not forced to the disk, which costs milliseconds: a power cut can lose the last seconds.
    A last line that an earlier kill has torn is cut off first.

    Raises:
        OSError: it cannot be written; `path` is named.
    """
    line = _json_line(value)
    try:
        with path.open("ab+") as stream:
            _cut_torn_line(stream)
            stream.write(line.encode())
    except OSError as error:
        error.filename = str(path)  # a write does not know it
        raise


def read_json_lines(path: Path) -> list[Any]:
    """The whole lines of a journal; a last line torn by a kill, or being written, is left out.

    Raises:
        ValueError: a whole line is no JSON, which no kill leaves behind.
    """
    if not path.exists():
        return []
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()]


def _json_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


def _cut_torn_line(stream: BinaryIO) -> None:
    end = stream.seek(0, os.SEEK_END)
    if not end:
        return
    stream.seek(end - 1)
    if stream.read(1) != b"\n":
        stream.seek(0)
        stream.truncate(stream.read().rfind(b"\n") + 1)
