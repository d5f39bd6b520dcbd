"""Lists of cores as the kernel writes them, such as `0-3,5`."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PART = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)


def parse_cores(text: str | None) -> set[int] | None:
    """The cores of a list; None where it is none. An empty list is a list."""
    if text is None:
        return None
    cores: set[int] = set()
    for part in text.split(",") if text else ():
        match = _PART.fullmatch(part.strip())
        if match is None:
            return None
        first = int(match[1])
        cores |= set(range(first, int(match[2] or first) + 1))
    return cores


def write_cores(cores: Iterable[int]) -> str:
    """The list of cores, as short as it can be."""
    ranges: list[list[int]] = []
    for core in sorted(cores):
        if ranges and core == ranges[-1][1] + 1:
            ranges[-1][1] = core
        else:
            ranges.append([core, core])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in ranges)


def cores_in_words(cores: Iterable[int]) -> str:
    """Such as `core 1` or `cores 0-3`."""
    numbers = set(cores)
    return f"core{'s' if len(numbers) > 1 else ''} {write_cores(numbers)}"
