"""Quantities as people write them on a command line."""

from __future__ import annotations

import re

import typer

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smh])", re.ASCII)
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_SHAPE = re.compile(r"(\d{1,99})x(\d{1,99})x(\d{1,99})", re.ASCII)
_LARGEST_SIDE = 9_999
_SHARE = re.compile(r"(\d{0,9}(?:\.\d{1,9})?)(%?)", re.ASCII)


def duration_s(text: str, *, option: str = "--budget") -> float:
    """Seconds of `90s`, `10m` or `1.5h`.

    Raises:
        typer.BadParameter: it is written in another way, or nothing is left of it.
    """
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not seconds:
        raise typer.BadParameter(
            f"{text!r} is no duration; write 90s, 10m or 2h", param_hint=option
        )
    return seconds


def image_shape(text: str, *, option: str = "--input") -> tuple[int, int, int]:
    """Channels, height and width of `1x28x28`.

    Raises:
        typer.BadParameter: it is written in another way, or one of them is 0 or too large.
    """
    match = _SHAPE.fullmatch(text)
    channels, height, width = map(int, match.groups()) if match else (0, 0, 0)
    if not (channels and height and width):
        raise typer.BadParameter(
            f"{text!r} is no image shape; write channels x height x width, like 1x28x28",
            param_hint=option,
        )
    if max(channels, height, width) > _LARGEST_SIDE:
        raise typer.BadParameter(
            f"{text!r} is too large: channels, height and width go to {_LARGEST_SIDE:,}; "
            "write a smaller one, like 1x28x28",
            param_hint=option,
        )
    return channels, height, width


def share(text: str, *, option: str = "--interval") -> float:
    """The number between 0 and 1 that `1%` or `0.01` means.

    Raises:
        typer.BadParameter: it is written in another way, or is not between.
    """
    match = _SHARE.fullmatch(text)
    number = float(match[1]) / (100 if match[2] else 1) if match and match[1] else 0.0
    if not 0 < number < 1:
        raise typer.BadParameter(f"{text!r} is no share; write 1% or 0.01", param_hint=option)
    return number
