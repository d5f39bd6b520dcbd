"""DataSet: three image sets with disjoint classes, and the loaders by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from metanas.data import cache
from metanas.data.fc100 import recipe as fc100
from metanas.data.folder import recipe as folder
from metanas.data.glyphs import recipe as glyphs
from metanas.data.image_set import ImageSet
from metanas.data.mini_imagenet import recipe as mini_imagenet
from metanas.data.omniglot import recipe as omniglot
from metanas.data.recipe import SPLITS, Progress, Recipe, Request, Rotations, Split
from metanas.errors import DataError, UnknownDataSetError
from metanas.files import cache_folder

DATASETS: dict[str, Callable[[Request], Recipe]] = {
    "glyphs": glyphs,
    "omniglot": omniglot,
    "mini-imagenet": mini_imagenet,
    "fc100": fc100,
    "folder": folder,
}
"""Loaders by the name that the command line knows."""

_TURNED: dict[Rotations, tuple[Split, ...]] = {"none": (), "train": ("train",), "all": SPLITS}


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """Images to train on, to choose by, and to test with; no class is in two of them.

    Args:
        name: a name of `DATASETS`.
        fingerprint: changes when the images do.
        train: meta-training classes.
        val: meta-validation classes.
        test: meta-test classes.
        inverted: whether images are negatives of the pictures that they were read from.
    """

    name: str
    fingerprint: str
    train: ImageSet
    val: ImageSet
    test: ImageSet
    inverted: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """An image's channels, height and width."""
        return self.train.shape

    @property
    def mean(self) -> tuple[float, ...]:
        """One a channel, of the training split, in units of full white (0 to 1)."""
        return self.train.mean

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviations likewise."""
        return self.train.std

    def split(self, split: Split) -> ImageSet:
        """The image set of that name."""
        return {"train": self.train, "val": self.val, "test": self.test}[split]


def load(
    name: str,
    *,
    data_root: Path | None = None,
    seed: int = 0,
    rotations: Rotations | None = None,
    image_size: tuple[int, int] | None = None,
    grey: bool = False,
    progress: Progress | None = None,
) -> DataSet:
    """Load a data set: decoded into the cache at the first call, mapped from there afterwards.

    Args:
        name: a name of `DATASETS`.
        data_root: where its files are; else the environment's METANAS_DATA, else the cache
            folder. Only without `data_root` may files be downloaded.
        seed: of the drawings (`glyphs`) and of the split (`folder` without split folders).
        rotations: which splits get quarter turns as new classes: `none`, `train` or `all`.
            By default what is customary: `train` for Omniglot (Vinyals et al. 2016; some papers
            turn the test classes too: `all`), `none` for the others.
        image_size: height and width (`folder` only; by default the first image's).
        grey: one channel instead of three (`folder` only).
        progress: told how far decoding is.

    Raises:
        UnknownDataSetError: no data set has that name.
        DataNotFoundError: files are missing; it says which, and where they were looked for.
        ArchiveError: an archive or image is broken.
        EmptyClassError: a class has no image.
        SplitMismatchError: the files are not the data set's classes.
        DataError: options that this data set does not have.
    """
    if name not in DATASETS:
        raise UnknownDataSetError(
            f"unknown data set {name!r}", hint=f"choose from {', '.join(DATASETS)}"
        )
    if name != "folder" and (image_size is not None or grey):
        raise DataError(
            f"the images of {name} have a size and colours of their own",
            hint="image size and grey are for the data set 'folder'",
        )
    request = Request(
        data_root=_data_root(data_root),
        may_download=data_root is None,
        seed=seed,
        image_size=image_size,
        grey=grey,
        progress=progress or _silent,
    )
    recipe = DATASETS[name](request)
    sets = _decoded(name, recipe, request)
    for split in _TURNED[rotations or recipe.rotations]:
        sets[split] = sets[split].turned(4)
    return DataSet(name=name, fingerprint=recipe.fingerprint, inverted=recipe.inverted, **sets)


def _data_root(given: Path | None) -> Path:
    named = os.environ.get("METANAS_DATA")
    return given or (Path(named) if named else cache_folder())


def _decoded(name: str, recipe: Recipe, request: Request) -> dict[Split, ImageSet]:
    place = cache_folder() / "data" / f"{name}-{recipe.fingerprint[:16]}"
    sets = cache.read(place, recipe.fingerprint)
    if sets is None:
        with recipe.open() as plan:
            cache.write(
                place,
                recipe.fingerprint,
                plan,
                seed=request.seed,
                progress=lambda done, total: request.progress(f"decoding {name}", done, total),
            )
        sets = cache.read(place, recipe.fingerprint)
    if sets is None:
        raise DataError(
            f"the cache {place} cannot be read back",
            hint="set METANAS_CACHE to a folder on another disk",
        )
    return sets


def _silent(_what: str, _done: int, _total: int) -> None:
    """Report nothing."""
