"""FC100 (Oreshkin et al. 2018): CIFAR-100 split by superclass, 60 / 20 / 20 classes, 3x32x32.

The official archive holds Python pickles, and a pickle can run code. Ours is read by an unpickler
that knows four names, all for rebuilding numpy arrays; any other name ends the reading.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metanas.data.places import candidates, not_found
from metanas.data.recipe import ClassImages, Plan, Recipe, Request, Split, fingerprint
from metanas.errors import ArchiveError, SplitMismatchError

SHAPE = (3, 32, 32)
ARCHIVE = "cifar-100-python.tar.gz"
SUPERCLASSES: dict[Split, tuple[int, ...]] = {
    "train": (1, 2, 3, 4, 5, 6, 9, 10, 15, 17, 18, 19),
    "val": (8, 11, 13, 16),
    "test": (0, 7, 12, 14),
}
"""CIFAR-100's coarse labels in each split."""
CLASS_COUNTS: dict[Split, int] = {"train": 60, "val": 20, "test": 20}

_FINE_CLASSES = 100
_reconstruct: Any = np.empty(0).__reduce__()[0]
_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


def recipe(request: Request) -> Recipe:
    """From the official archive; its training and test images together, 600 a class.

    Raises:
        DataNotFoundError: it is not there.
    """
    places = candidates(request.data_root, "fc100", "cifar-100", "cifar100")
    path = next((place / ARCHIVE for place in places if (place / ARCHIVE).is_file()), None)
    if path is None:
        raise not_found(
            "fc100",
            ARCHIVE,
            places,
            hint="fetch it from https://www.cs.toronto.edu/~kriz/cifar.html and put it there",
        )
    return Recipe(fingerprint=fingerprint("fc100", [path]), open=lambda: _plan(path))


@contextmanager
def _plan(path: Path) -> Iterator[Plan]:
    meta, *parts = _read_archive(path)
    try:
        names = [name.decode() for name in meta[b"fine_label_names"]]
        images = np.concatenate([part[b"data"] for part in parts]).reshape(-1, *SHAPE)
        fine = np.concatenate([np.asarray(part[b"fine_labels"], np.int64) for part in parts])
        coarse = np.concatenate([np.asarray(part[b"coarse_labels"], np.int64) for part in parts])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ArchiveError(
            f"{path} does not hold what CIFAR-100 holds: {error!r}",
            hint=f"fetch the official {ARCHIVE} again",
        ) from error
    if images.dtype != np.uint8 or not len(images) == len(fine) == len(coarse) > 0:
        raise ArchiveError(
            f"{path}: {len(images)} images ({images.dtype}), {len(fine)} fine and {len(coarse)} "
            "coarse labels do not fit together",
            hint=f"fetch the official {ARCHIVE} again",
        )
    if len(names) != _FINE_CLASSES or not (fine.min() >= 0 and fine.max() < _FINE_CLASSES):
        raise SplitMismatchError(
            f"{path} names {len(names)} classes; CIFAR-100 has {_FINE_CLASSES}",
            hint=f"use the official {ARCHIVE}",
        )
    splits: dict[Split, list[ClassImages]] = {
        split: [
            _class(label, names, images, fine)
            for label in np.unique(fine[np.isin(coarse, superclasses)]).tolist()
        ]
        for split, superclasses in SUPERCLASSES.items()
    }
    counts = {split: len(classes) for split, classes in splits.items()}
    if counts != CLASS_COUNTS or sum(counts.values()) != len(np.unique(fine)):
        raise SplitMismatchError(
            f"{path}: the superclasses of FC100 hold {counts} classes, not {CLASS_COUNTS}",
            hint=f"use the official {ARCHIVE}",
        )
    yield Plan(shape=SHAPE, splits=splits)


def _class(
    label: int, names: list[str], images: NDArray[np.uint8], fine: NDArray[np.int64]
) -> ClassImages:
    chosen = np.flatnonzero(fine == label)
    return ClassImages(names[label], len(chosen), partial(images.__getitem__, chosen))


def _read_archive(path: Path) -> list[dict[bytes, Any]]:
    """The archive's meta, train and test dictionaries."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            return [_member(archive, f"cifar-100-python/{n}") for n in ("meta", "train", "test")]
    except (
        *(tarfile.TarError, pickle.UnpicklingError, zlib.error, OSError, EOFError),
        *(KeyError, ValueError, TypeError, AttributeError, IndexError, MemoryError),
    ) as error:
        raise ArchiveError(
            f"{path} cannot be read: {error}", hint=f"fetch the official {ARCHIVE} again"
        ) from error


def _member(archive: tarfile.TarFile, name: str) -> dict[bytes, Any]:
    stream = archive.extractfile(name)
    if stream is None:
        raise tarfile.ReadError(f"{name} is no file")
    value = _ArrayUnpickler(io.BytesIO(stream.read()), encoding="bytes").load()
    if not isinstance(value, dict):
        raise pickle.UnpicklingError(f"{name} holds a {type(value).__name__}, not a dictionary")
    return value


class _ArrayUnpickler(pickle.Unpickler):
    """Rebuilds numbers, texts, lists, dictionaries and numpy arrays, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed")
        return _ALLOWED[module, name]
