"""Spaces by name, as the command line asks for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from metanas.errors import ArchitectureError
from metanas.spaces.resnet12 import ResNet12Space
from metanas.spaces.space import SearchSpace
from metanas.spaces.vgg9 import VGG9Space

SPACES: dict[str, Callable[..., SearchSpace[Any]]] = {
    "vgg9": VGG9Space,
    "resnet12": ResNet12Space,
}


def make_space(
    name: str, *, input_shape: tuple[int, int, int], ways: int, **settings: str | int | bool
) -> SearchSpace[Any]:
    """Make the space of that name; `settings` are its own switches.

    Raises:
        ArchitectureError: no space has that name.
    """
    if name not in SPACES:
        raise ArchitectureError(f"unknown space {name!r}", hint=f"choose from {', '.join(SPACES)}")
    return SPACES[name](input_shape=input_shape, ways=ways, **settings)
