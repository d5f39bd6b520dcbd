"""Spaces by name, as the command line asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


def space_from_settings(settings: Mapping[str, object]) -> SearchSpace[Any]:
    """Make the space that has these `settings`, as a table's header or a run's file holds them.

    Raises:
        ArchitectureError: no space has them.
    """
    own = dict(settings)
    try:
        name, ways = str(own.pop("space")), int(str(own.pop("ways")))
        channels, height, width = map(int, str(own.pop("input")).split("x"))
        space = make_space(name, input_shape=(channels, height, width), ways=ways, **own)  # type: ignore[arg-type]
    except (KeyError, ValueError, TypeError) as error:
        raise ArchitectureError(
            f"no space has the settings {dict(settings)}", hint="was it made by another version?"
        ) from error
    if space.settings != dict(settings):
        raise ArchitectureError(
            f"the space {name} has other settings by now: {space.settings}, not {dict(settings)}",
            hint="use the version of metanas that wrote them",
        )
    return space
