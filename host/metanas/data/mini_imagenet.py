"""mini-ImageNet: 100 classes of 600 pictures, 3x84x84, with the split of Ravi & Larochelle 2017."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from metanas.data.places import candidates, find, not_found
from metanas.data.recipe import SPLITS, ClassImages, Plan, Recipe, Request, Split, fingerprint
from metanas.data.tree import open_tree
from metanas.errors import SplitMismatchError

SHAPE = (3, 84, 84)
CLASS_COUNTS: dict[Split, int] = {"train": 64, "val": 16, "test": 20}


def recipe(request: Request) -> Recipe:
    """From train.zip, val.zip and test.zip, or folders of these names, of class folders.

    Pictures of another size are resized.

    Raises:
        DataNotFoundError: one of them is not there.
    """
    places = candidates(request.data_root, "mini_imagenet", "mini-imagenet")
    paths: dict[Split, Path] = {}
    for split in SPLITS:
        path = find(places, split)
        if path is None:
            raise not_found(
                "mini-imagenet",
                f"{split}.zip or folder {split}",
                places,
                hint="put train, val and test there (class folders of pictures), or give "
                "the data root; the pictures come from ImageNet and cannot be downloaded freely",
            )
        paths[split] = path
    return Recipe(
        fingerprint=fingerprint("mini-imagenet", paths.values()), open=lambda: _plan(paths)
    )


@contextmanager
def _plan(paths: dict[Split, Path]) -> Iterator[Plan]:
    with ExitStack() as stack:
        splits: dict[Split, list[ClassImages]] = {
            split: stack.enter_context(open_tree(path)).classes(SHAPE)
            for split, path in paths.items()
        }
        for split, count in CLASS_COUNTS.items():
            if len(splits[split]) != count:
                raise SplitMismatchError(
                    f"{paths[split]} has {len(splits[split])} classes; "
                    f"mini-ImageNet's {split} split has {count}",
                    hint="use the split of Ravi & Larochelle, or the data set 'folder'",
                )
        yield Plan(shape=SHAPE, splits=splits)
