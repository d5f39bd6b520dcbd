"""Feeding: what a model's metadata says of how its images must be prepared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Self

from metanas_agent.errors import InvalidModelError

_EXPORT = "export it with `metanas export`, which writes it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeding:
    """How a picture becomes the numbers that a model takes.

    Its pixels are scaled to 0..1, inverted if need be, then (pixel - mean) / std a channel.

    Args:
        shape: channels (1 is grey, 3 is red, green and blue), height, width.
        mean: one number a channel.
        std: one number a channel.
        inverted: whether the model was trained on negatives: 1 minus a picture's pixels.
    """

    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    inverted: bool = False

    @classmethod
    def of(cls, metadata: Mapping[str, str], sides: Sequence[object], *, where: str) -> Self:
        """Read a model's metadata.

        Args:
            metadata: with `mean` and `std`, JSON lists of numbers, and perhaps `inverted`.
            sides: of the model's input: (images, channels, height, width); what is no number is
                free, and stands for what `input_shape` of the metadata says.
            where: the model's name, for the error.

        Raises:
            InvalidModelError: something is missing or makes no sense.
        """
        channels, height, width = _shape(metadata, sides, where)
        std = _numbers(metadata, "std", channels, where)
        if min(std) <= 0:
            raise InvalidModelError(f"{where}: 'std' of its metadata is not above 0", hint=_EXPORT)
        return cls(
            shape=(channels, height, width),
            mean=_numbers(metadata, "mean", channels, where),
            std=std,
            inverted=metadata.get("inverted") == "true",
        )


def labels_of(metadata: Mapping[str, str], *, where: str) -> tuple[str, ...]:
    """Name of each class, in the order of the logits.

    Raises:
        InvalidModelError: the metadata has none.
    """
    labels = _json(metadata, "labels", where)
    if (
        not isinstance(labels, list)
        or not all(isinstance(label, str) for label in labels)
        or len(set(labels)) < len(labels)
    ):
        raise InvalidModelError(
            f"{where}: 'labels' of its metadata is no list of different names", hint=_EXPORT
        )
    return tuple(labels)


def _shape(
    metadata: Mapping[str, str], sides: Sequence[object], where: str
) -> tuple[int, int, int]:
    if len(sides) != 4:
        raise InvalidModelError(
            f"{where} takes an input of {len(sides)} dimensions",
            hint="give a model that takes (images, channels, height, width)",
        )
    shape = [side for side in sides[1:] if isinstance(side, int) and side > 0]
    if len(shape) != 3:
        shape = [int(side) for side in _numbers(metadata, "input_shape", 3, where)]
    channels, height, width = shape
    if channels not in (1, 3) or min(shape) < 1:
        raise InvalidModelError(
            f"{where} takes images of {channels} x {height} x {width}",
            hint="give a model that takes 1 or 3 channels of some pixels",
        )
    return channels, height, width


def _numbers(metadata: Mapping[str, str], name: str, count: int, where: str) -> tuple[float, ...]:
    values = _json(metadata, name, where)
    if (
        not isinstance(values, list)
        or len(values) != count
        or not all(isinstance(value, float) and isfinite(value) for value in values)
    ):
        raise InvalidModelError(
            f"{where}: {name!r} of its metadata is no list of {count} numbers", hint=_EXPORT
        )
    return tuple(values)


def _json(metadata: Mapping[str, str], name: str, where: str) -> object:
    if name not in metadata:
        raise InvalidModelError(f"{where} has no {name!r} in its metadata", hint=_EXPORT)
    try:
        value: object = json.loads(metadata[name], parse_int=float)
    except (ValueError, RecursionError):
        value = None
    return value
