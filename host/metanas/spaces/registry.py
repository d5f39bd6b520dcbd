"""Spaces by name, as the command line asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from metanas.errors import ArchitectureError
from metanas.spaces.cells import CellsSpace
from metanas.spaces.conv_space import ConvSpace
from metanas.spaces.resnet12 import ResNet12Space
from metanas.spaces.space import SearchSpace
from metanas.spaces.vgg9 import VGG9Space

SPACES: dict[str, Callable[..., SearchSpace[Any]]] = {
    "vgg9": VGG9Space,
    "resnet12": ResNet12Space,
    "cells": CellsSpace,
}

_USUAL = {
    name: parameter.default
    for name, parameter in signature(ConvSpace).parameters.items()
    if parameter.default is not parameter.empty
}
"""Switches that a caller sets without knowing the space, and their defaults."""


def make_space(
    name: str, *, input_shape: tuple[int, int, int], ways: int, **settings: str | int | bool
) -> SearchSpace[Any]:
    """Make the space of that name; `settings` are its own switches.

    A switch that another space has may be given too, at its default.

    Raises:
        ArchitectureError: no space has that name, or this one lacks a switch.
    """
    if name not in SPACES:
        raise ArchitectureError(f"unknown space {name!r}", hint=f"choose from {', '.join(SPACES)}")
    own = signature(SPACES[name]).parameters
    for switch, value in settings.items():
        if switch not in own and value != _USUAL.get(switch, value):
            words = switch.replace("_", " ")
            raise ArchitectureError(
                f"the space {name} has no {words} {value}", hint="leave it out, or take vgg9"
            )
    known = {
        switch: value for switch, value in settings.items() if switch in own or switch not in _USUAL
    }
    return SPACES[name](input_shape=input_shape, ways=ways, **known)


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
