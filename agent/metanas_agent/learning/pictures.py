"""Pictures as a model takes them: decoded, resized and normalised as in training."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metanas_agent.errors import InvalidImageError
from metanas_agent.learning.feeding import Feeding

Images = NDArray[np.float32]
"""(images, channels, height, width), normalised."""

# What Pillow lets through from decoders on broken data, and of pictures that fill the memory.
_BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)


def read_images(paths: Sequence[Path], feeding: Feeding) -> Images:
    """Pictures of any size and colour; each is resized, antialiased, to the model's size.

    Raises:
        InvalidImageError: one of them cannot be read.
    """
    images = np.empty((len(paths), *feeding.shape), np.float32)
    for image, path in zip(images, paths, strict=True):
        pixels = _pixels(path, feeding.shape)
        image[:] = np.invert(pixels) if feeding.inverted else pixels
    mean, std = (np.array(values)[:, None, None] for values in (feeding.mean, feeding.std))
    images *= (1 / (255 * std)).astype(np.float32)
    images -= (mean / std).astype(np.float32)
    return images


def _pixels(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """As (channels, height, width)."""
    channels, height, width = shape
    picture = _decoded(path, "L" if channels == 1 else "RGB")
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    pixels = np.asarray(picture)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _decoded(path: Path, mode: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                return picture.convert(mode)
    except FileNotFoundError as error:
        raise InvalidImageError(f"{path} does not exist", hint="check its name") from error
    except _BROKEN as error:
        reason = str(error).partition("\n")[0]
        raise InvalidImageError(
            f"{path} is no readable image: {reason}", hint="replace it or take it out"
        ) from error
