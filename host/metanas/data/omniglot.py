"""Omniglot (Lake et al. 2015): 1,623 handwritten characters, 20 drawings each.

Drawings are scaled from 105x105 to 28x28 and inverted, so that strokes are white. The split is
that of Vinyals et al. 2016: 1,028 / 172 / 423 classes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from metanas.data.download import download
from metanas.data.places import candidates, find, not_found
from metanas.data.recipe import SPLITS, ClassImages, Plan, Recipe, Request, Split, fingerprint
from metanas.data.tree import open_tree
from metanas.errors import SplitMismatchError
from metanas.files import cache_folder

SHAPE = (1, 28, 28)
BASE_URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"
MD5_SUMS = {
    "images_background": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation": "6b91aef0f799c5bb55b94e3f2daec811",
}


def recipe(request: Request) -> Recipe:
    """From the official archives, or the folders that they hold.

    Raises:
        DataNotFoundError: they are not there and cannot be downloaded.
    """
    paths = [_obtain(stem, request) for stem in MD5_SUMS]
    return Recipe(
        fingerprint=fingerprint("omniglot", paths),
        open=lambda: _plan(paths),
        rotations="train",
        inverted=True,
    )


def vinyals_split() -> dict[Split, list[str]]:
    """The class names (`Alphabet/characterNN`) of each split."""
    text = resources.files("metanas.data").joinpath("omniglot_split.toml").read_text("utf-8")
    table = tomllib.loads(text)
    return {
        split: [
            f"{alphabet}/character{number:02d}"
            for alphabet, (first, last) in table[split].items()
            for number in range(first, last + 1)
        ]
        for split in SPLITS
    }


def _obtain(stem: str, request: Request) -> Path:
    places = candidates(request.data_root, "omniglot")
    downloads = cache_folder() / "omniglot"
    if request.may_download:
        places.append(downloads)
    if path := find(places, stem):
        return path
    if not request.may_download:
        raise not_found(
            "omniglot",
            f"{stem}.zip or folder {stem}",
            places,
            hint="put it there, or leave the data root out to have it downloaded",
        )
    path = downloads / f"{stem}.zip"
    download(f"{BASE_URL}/{stem}.zip", path, md5=MD5_SUMS[stem], progress=request.progress)
    return path


@contextmanager
def _plan(paths: list[Path]) -> Iterator[Plan]:
    background, evaluation = paths
    with open_tree(background) as first, open_tree(evaluation) as second:
        found = {
            each.name: each for tree in (first, second) for each in tree.classes(SHAPE, invert=True)
        }
        yield Plan(
            shape=SHAPE,
            splits={
                split: [_member(found, name, paths) for name in names]
                for split, names in vinyals_split().items()
            },
        )


def _member(found: dict[str, ClassImages], name: str, paths: list[Path]) -> ClassImages:
    if name not in found:
        raise SplitMismatchError(
            f"omniglot: no drawings of {name} in {' or '.join(str(path) for path in paths)}",
            hint="use the official images_background and images_evaluation archives, whole",
        )
    return found[name]
