from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from metanas.data import ImageSet
from metanas.errors import DataError

MakeSet = Callable[..., ImageSet]


def test_turned_classes_are_the_base_classes_turned(numbered: MakeSet) -> None:
    upright = numbered([2, 3])
    turned = upright.turned(4)
    assert (upright.class_count, turned.class_count) == (2, 8)
    assert turned.images is upright.images
    for class_index in range(8):
        images = turned.images_of(class_index)
        assert np.shares_memory(images, upright.images)
        expected = [
            np.rot90(one[0], class_index % 4) for one in upright.images_of(class_index // 4)
        ]
        assert np.array_equal(images[:, 0], expected)
    assert [turned.class_name(4), turned.class_name(7)] == ["c1", "c1 turned 270°"]


def test_a_quarter_turn_is_anticlockwise(numbered: MakeSet) -> None:
    image = numbered([1]).turned(4).images_of(1)[0, 0]
    assert image[3, 0] == 1  # the upper left corner is now the lower left one


def test_counts_and_shape(numbered: MakeSet) -> None:
    image_set = numbered([2, 3, 4])
    assert image_set.counts.tolist() == [2, 3, 4]
    assert image_set.shape == (1, 4, 4)


@pytest.mark.parametrize(
    "change",
    [
        {"images": np.zeros((2, 1, 4, 4), np.float32)},
        {"offsets": np.array([0, 1])},
        {"offsets": np.array([0, 5])},
        {"classes": ("a", "b")},
        {"mean": (0.0, 0.0)},
        {"std": ()},
        {"quarter_turns": 5},
        {"quarter_turns": 0},
        {"images": np.zeros((2, 1, 4, 5), np.uint8), "quarter_turns": 4},
    ],
)
def test_parts_that_do_not_fit(numbered: MakeSet, change: dict[str, object]) -> None:
    with pytest.raises(DataError):
        replace(numbered([2]), **change)  # type: ignore[arg-type]
