"""Decoded images kept as plain arrays, mapped into memory instead of read again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metanas.data.image_set import ImageSet
from metanas.data.recipe import SPLITS, ClassImages, Plan, Split
from metanas.errors import DataError
from metanas.files import replacing, write_json
from metanas.provenance import provenance

INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class _Index:
    fingerprint: str
    shape: list[int]
    mean: list[float]
    std: list[float]
    classes: dict[Split, list[str]]
    counts: dict[Split, list[int]]
    provenance: dict[str, str | int]


def read(folder: Path, fingerprint: str) -> dict[Split, ImageSet] | None:
    """The image sets that `write` left there; None if they are absent, damaged or of others."""
    try:
        index = _Index(**json.loads((folder / INDEX).read_text(encoding="utf-8")))
        if index.fingerprint != fingerprint:
            return None
        return {split: _map_split(folder, index, split) for split in SPLITS}
    except (OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, DataError):
        return None


def write(
    folder: Path, fingerprint: str, plan: Plan, *, seed: int, progress: Callable[[int, int], None]
) -> None:
    """Decode a plan's images into `folder`, a class at a time.

    The index is written last, so a folder that has one is whole.

    Raises:
        DataError: an image cannot be read.
    """
    total = sum(each.count for classes in plan.splits.values() for each in classes)
    done = 0
    moments = _Moments(plan.shape[0])
    for split in SPLITS:
        classes = plan.splits[split]
        count = sum(each.count for each in classes)
        with replacing(folder / f"{split}.npy") as temporary, temporary.open("wb") as stream:
            # Written, not mapped: a full disk is then an error instead of a killed process.
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, *plan.shape)}
            np.lib.format.write_array_header_1_0(stream, header)
            for each in classes:
                images = _read_class(each, plan.shape)
                stream.write(images.tobytes())
                if split == "train":
                    moments.add(images)
                done += each.count
                progress(done, total)
    index = _Index(
        fingerprint=fingerprint,
        shape=list(plan.shape),
        mean=moments.mean(),
        std=moments.std(),
        classes={split: [each.name for each in plan.splits[split]] for split in SPLITS},
        counts={split: [each.count for each in plan.splits[split]] for split in SPLITS},
        provenance=provenance(seed=seed),
    )
    write_json(folder / INDEX, asdict(index))


def _read_class(each: ClassImages, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    images = each.read()
    if images.shape != (each.count, *shape) or images.dtype != np.uint8:
        raise DataError(f"class {each.name!r} gave {images.dtype} images of shape {images.shape}")
    return images


def _map_split(folder: Path, index: _Index, split: Split) -> ImageSet:
    # A file shorter than its header says is refused by the mapping.
    images = np.load(folder / f"{split}.npy", mmap_mode="r", allow_pickle=False)
    offsets = np.cumsum([0, *index.counts[split]])
    if images.shape != (offsets[-1], *index.shape):
        raise DataError("the array is not the index's")
    return ImageSet(
        images=np.asarray(images),
        offsets=offsets,
        classes=tuple(index.classes[split]),
        split=split,
        mean=tuple(index.mean),
        std=tuple(index.std),
    )


class _Moments:
    """Exact sums for the mean and standard deviation of each channel."""

    def __init__(self, channels: int) -> None:
        self._sums = [0] * channels
        self._squares = [0] * channels
        self._pixels = 0

    def add(self, images: NDArray[np.uint8]) -> None:
        for channel in range(images.shape[1]):
            values = images[:, channel]
            self._sums[channel] += int(values.sum(dtype=np.uint64))
            self._squares[channel] += int(np.square(values, dtype=np.uint16).sum(dtype=np.uint64))
        self._pixels += images[:, 0].size

    def mean(self) -> list[float]:
        return [total / self._pixels / 255 for total in self._sums]

    def std(self) -> list[float]:
        variances = (
            squares / self._pixels - (total / self._pixels) ** 2
            for total, squares in zip(self._sums, self._squares, strict=True)
        )
        # Blank images have no spread; one grey level keeps the division finite.
        return [max(1.0, max(variance, 0.0) ** 0.5) / 255 for variance in variances]
