"""Files by which the kernel tells of the machine: None where there is none, or it is rubbish."""

from __future__ import annotations

import math
import os
from pathlib import Path


def read_text(path: Path) -> str | None:
    """What a file says, without white space around it."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def read_number(path: Path) -> float | None:
    """The number that a file holds."""
    try:
        number = float(read_text(path) or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def names_in(folder: Path) -> list[str]:
    """Names of what is in a folder, sorted; none where there is no such folder."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names, not paths
    except OSError:
        return []


def hexadecimal(text: str | None) -> int | None:
    """The number that a text means."""
    try:
        return int(text or "", 16)
    except ValueError:
        return None
