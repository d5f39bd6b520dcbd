"""What earlier searches found, for a new one to begin with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from metanas.errors import ArchitectureError, RunFolderError
from metanas.runs.folder import RunFolder
from metanas.spaces import Architecture, SearchSpace

A = TypeVar("A", bound=Architecture)


def found_architectures(runs: Iterable[RunFolder]) -> tuple[str, ...]:
    """Finalists, then the front, of each run's search; each architecture once.

    Raises:
        RunFolderError: a run has no ended search, or its file is broken.
    """
    texts: dict[str, None] = {}
    for run in runs:
        found = run.read_json(run.search, made_by="metanas adapt")
        try:
            candidates = [*found["finalists"], *found["front"]]
            texts |= {str(candidate["architecture"]): None for candidate in candidates}
        except (KeyError, TypeError) as error:
            raise RunFolderError(
                f"{run.search} is no result of a search: {error!r}", hint="adapt there again"
            ) from error
    return tuple(texts)


def parse_all(space: SearchSpace[A], texts: Iterable[str]) -> tuple[A, ...]:
    """Architectures of the space to begin a search with.

    Raises:
        ArchitectureError: they come from the search of another space.
    """
    return tuple(_parse(space, text) for text in texts)


def _parse(space: SearchSpace[A], text: str) -> A:
    try:
        return space.parse(text)
    except ArchitectureError as error:
        raise ArchitectureError(
            f"the warm start's {text} is of another space: {error}",
            hint="start from a run of the same space, downsampling, expansion and depth",
        ) from error
