"""ImageSet: the images of one split, as one byte array that is contiguous by class."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metanas.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class ImageSet:
    """The images of one split.

    With `quarter_turns` above 1, every class of the array stands for that many classes, one a
    quarter turn (anticlockwise): class index i is base class i // quarter_turns, turned
    i % quarter_turns times. The turned images are never stored.

    Args:
        images: (images, channels, height, width), bytes, contiguous by class.
        offsets: (base classes + 1,): base class b is `images[offsets[b]:offsets[b + 1]]`.
        classes: the base classes' names.
        split: `train`, `val` or `test`.
        mean: one a channel, of the training split, in units of full white (0 to 1).
        std: standard deviations likewise.
        quarter_turns: 1 to 4.

    Raises:
        DataError: the parts do not fit together, or images to be turned are not square.
    """

    images: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    classes: tuple[str, ...]
    split: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    quarter_turns: int = 1

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise DataError("images must be bytes (images, channels, height, width)")
        if (
            len(self.offsets) != len(self.classes) + 1
            or self.offsets[0] != 0
            or self.offsets[-1] != len(self.images)
            or (np.diff(self.offsets) < 0).any()
        ):
            raise DataError(f"the {self.split} classes do not cover the images")
        channels, height, width = self.shape
        if len(self.mean) != channels or len(self.std) != channels:
            raise DataError(f"mean and std must have one number for each of {channels} channels")
        if self.quarter_turns not in range(1, 5):
            raise DataError(f"quarter_turns must be 1 to 4, not {self.quarter_turns}")
        if self.quarter_turns > 1 and height != width:
            raise DataError(
                f"images of {height}x{width} cannot be turned to make new classes",
                hint="use square images, or no rotations",
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """An image's channels, height and width."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    @property
    def class_count(self) -> int:
        """How many classes tasks are drawn from, turned ones included."""
        return len(self.classes) * self.quarter_turns

    @property
    def counts(self) -> NDArray[np.int64]:
        """Images in each base class."""
        return np.diff(self.offsets)

    def class_name(self, class_index: int) -> str:
        """A class's name; a turned one says by how much."""
        base, turns = divmod(class_index, self.quarter_turns)
        return f"{self.classes[base]} turned {turns * 90}°" if turns else self.classes[base]

    def images_of(self, class_index: int) -> NDArray[np.uint8]:
        """The images of one class, a view: (images, channels, height, width)."""
        base, turns = divmod(class_index, self.quarter_turns)
        images = self.images[self.offsets[base] : self.offsets[base + 1]]
        return np.rot90(images, turns, axes=(-2, -1))

    def turned(self, quarter_turns: int) -> ImageSet:
        """The same images with that many quarter turns as classes."""
        return replace(self, quarter_turns=quarter_turns)
