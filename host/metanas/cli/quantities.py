"""Quantities as people write them on a command line."""

from __future__ import annotations

import re

import typer

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smh])", re.ASCII)
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_SHAPE = re.compile(r"(\d{1,4})x(\d{1,4})x(\d{1,4})", re.ASCII)
_SHARE = re.compile(r"(\d{0,9}(?:\.\d{1,9})?)(%?)", re.ASCII)


def duration_s(text: str) -> float:
    """Seconds of `90s`, `10m` or `1.5h`.

    Raises:
        typer.BadParameter: it is written in another way, or nothing is left of it.
    """
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not seconds:
        raise typer.BadParameter(f"{text!r} is no duration; write 90s, 10m or 2h")
    return seconds


def image_shape(text: str) -> tuple[int, int, int]:
    """Channels, height and width of `1x28x28`.

    Raises:
        typer.BadParameter: it is written in another way, or one of them is 0.
    """
    match = _SHAPE.fullmatch(text)
    if match is None or "0" in match.groups():
        raise typer.BadParameter(
            f"{text!r} is no image shape; write channels x height x width, like 1x28x28"
        )
    channels, height, width = map(int, match.groups())
    return channels, height, width


def share(text: str) -> float:
    """The number between 0 and 1 that `1%` or `0.01` means.

    Raises:
        typer.BadParameter: it is written in another way, or is not between.
    """
    match = _SHARE.fullmatch(text)
    number = float(match[1]) / (100 if match[2] else 1) if match and match[1] else 0.0
    if not 0 < number < 1:
        raise typer.BadParameter(f"{text!r} is no share; write 1% or 0.01")
    return number
