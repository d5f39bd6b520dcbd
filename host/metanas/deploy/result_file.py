"""Results of a stage as JSON files, read back and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from metanas.errors import InvalidMeasurementError, RunFolderError
from metanas.records import from_plain

T = TypeVar("T")


def read_result(path: Path, kind: type[T], what: str, *, made_by: str) -> T:
    """Read the file that a command wrote.

    Args:
        path: of the file.
        kind: the dataclass whose fields it holds.
        what: is in it, for the error.
        made_by: the command that writes it.

    Raises:
        RunFolderError: the file is missing, broken or of another kind.
    """
    try:
        return from_plain(kind, json.loads(path.read_bytes()))
    except (OSError, ValueError, InvalidMeasurementError) as error:
        raise RunFolderError(
            f"{path}: no {what} can be read from it: {error}", hint=f"run `{made_by}` again"
        ) from error
