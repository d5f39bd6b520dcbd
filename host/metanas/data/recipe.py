"""Recipe: what a loader knows of a data set, before any image is decoded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

Rotations = Literal["none", "train", "all"]
"""Which splits get quarter turns as new classes."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

FORMAT_VERSION = 1
"""Raise it when the same files would give other bytes: caches are then made again."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller of `load` asked for, as the loaders see it.

    Args:
        data_root: where files are looked for.
        may_download: whether files that are not there may be downloaded into the cache.
        seed: for what a loader draws by chance.
        image_size: height and width, for data sets that have none of their own.
        grey: one channel instead of three, for data sets that have no colours of their own.
        progress: told how far it is.
    """

    data_root: Path
    may_download: bool
    seed: int
    image_size: tuple[int, int] | None
    grey: bool
    progress: Progress


@dataclass(frozen=True, slots=True)
class ClassImages:
    """One class: its name, how many images it has, and how to read them all at once.

    Args:
        read: gives (count, channels, height, width).
    """

    name: str
    count: int
    read: Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Plan:
    """A data set whose images can be read, class by class.

    Args:
        shape: channels, height, width.
        splits: each split's classes.
    """

    shape: tuple[int, int, int]
    splits: dict[Split, list[ClassImages]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make a data set.

    Args:
        fingerprint: changes when the images would.
        open: opens the files for as long as they are read.
        rotations: what is customary with this data set.
        inverted: whether its images are negatives of the pictures in its files.
    """

    fingerprint: str
    open: Callable[[], AbstractContextManager[Plan]]
    rotations: Rotations = "none"
    inverted: bool = False


def fingerprint(name: str, paths: Iterable[Path], **options: Any) -> str:
    """A SHA-256 of all files' names, sizes and times, the options, and our format's version."""
    files = [
        (file.relative_to(path.parent).as_posix(), (stat := file.stat()).st_size, stat.st_mtime_ns)
        for path in paths
        for file in (sorted(path.rglob("*")) if path.is_dir() else [path])
        if file.is_file()
    ]
    return digest([name, files, options])


def digest(value: Any) -> str:
    """A SHA-256 of a JSON value and our format's version."""
    return hashlib.sha256(json.dumps([FORMAT_VERSION, value]).encode()).hexdigest()
