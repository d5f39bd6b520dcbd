"""Architecture: one point of a search space, as a value."""

from __future__ import annotations

from typing import Protocol


class Architecture(Protocol):
    """Frozen, hashable, and printed as text that its space parses back.

    `space.parse(str(architecture)) == architecture` holds for every space.
    """

    def __str__(self) -> str: ...

    def __hash__(self) -> int: ...

    def __eq__(self, other: object) -> bool: ...
