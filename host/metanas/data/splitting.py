"""Classes dealt out to train, val and test where the data set has no split of its own."""

from __future__ import annotations

import hashlib

from metanas.data.recipe import ClassImages, Split
from metanas.errors import NotEnoughImagesError

_VAL_SHARE, _TEST_SHARE = 0.16, 0.20


def split_classes(classes: list[ClassImages], *, seed: int) -> dict[Split, list[ClassImages]]:
    """64% train, 16% val, 20% test, at least one class each, by a hash of seed and name.

    A class that is added or removed leaves nearly all others where they were.

    Raises:
        NotEnoughImagesError: fewer than three classes.
    """
    if len(classes) < 3:
        raise NotEnoughImagesError(
            f"{len(classes)} classes cannot be split into train, val and test",
            hint="put images of at least 3 classes there",
        )
    order = sorted(
        classes, key=lambda each: hashlib.sha256(f"{seed}/{each.name}".encode()).digest()
    )
    val = max(1, round(len(classes) * _VAL_SHARE))
    test = max(1, round(len(classes) * _TEST_SHARE))
    dealt: dict[Split, list[ClassImages]] = {
        "val": order[:val],
        "test": order[val : val + test],
        "train": order[val + test :],
    }
    return {split: sorted(some, key=lambda each: each.name) for split, some in dealt.items()}
