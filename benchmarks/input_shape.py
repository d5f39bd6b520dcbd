"""The option --input of several benchmarks."""

from __future__ import annotations

import argparse
import re


def input_shape(text: str) -> tuple[int, int, int]:
    """Channels, height and width of `1x28x28`, for argparse."""
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*x[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 1x28x28")
    channels, height, width = (int(side) for side in text.split("x"))
    return channels, height, width
