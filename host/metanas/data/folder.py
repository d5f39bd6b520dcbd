"""A user's own images: a folder a class, with or without folders train, val and test above."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from metanas.data.recipe import SPLITS, ClassImages, Plan, Recipe, Request, Split, fingerprint
from metanas.data.splitting import split_classes
from metanas.data.tree import open_tree
from metanas.errors import DataNotFoundError, SplitMismatchError


def recipe(request: Request) -> Recipe:
    """From ROOT/train|val|test/<class>/*, or from ROOT/<class>/* with a split drawn by the seed.

    Raises:
        DataNotFoundError: there is no such folder.
        SplitMismatchError: one or two of train, val and test are there, but not all.
    """
    root = request.data_root
    if not root.is_dir():
        raise DataNotFoundError(
            f"folder: {root} is no folder",
            hint="give the folder of class folders as the data root",
        )
    missing = [split for split in SPLITS if not (root / split).is_dir()]
    if 0 < len(missing) < len(SPLITS):
        raise SplitMismatchError(
            f"{root} has split folders, but no {' and no '.join(missing)}",
            hint="make train, val and test, or put all class folders side by side",
        )
    options = {"seed": request.seed, "size": request.image_size, "grey": request.grey}
    return Recipe(
        fingerprint=fingerprint("folder", [root], **options),
        open=lambda: _plan(root, request, has_split=not missing),
    )


@contextmanager
def _plan(root: Path, request: Request, *, has_split: bool) -> Iterator[Plan]:
    with open_tree(root) as tree:
        size = request.image_size or tree.first_size()
        if size is None:
            raise DataNotFoundError(
                f"folder: no image in {root}", hint="put class folders of PNG or JPEG files there"
            )
        shape = (1 if request.grey else 3, *size)
        classes = tree.classes(shape)
        splits = _by_folder(classes) if has_split else split_classes(classes, seed=request.seed)
        for split in SPLITS:
            if not splits[split]:
                raise DataNotFoundError(
                    f"folder: no class folder in {root / split}",
                    hint=f"put class folders of images in {split}",
                )
        yield Plan(shape=shape, splits=splits)


def _by_folder(classes: list[ClassImages]) -> dict[Split, list[ClassImages]]:
    return {
        split: [
            replace(each, name=each.name.removeprefix(f"{split}/"))
            for each in classes
            if each.name.startswith(f"{split}/")
        ]
        for split in SPLITS
    }
