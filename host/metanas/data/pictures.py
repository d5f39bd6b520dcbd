"""Encoded pictures to byte arrays."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metanas.errors import ArchiveError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"})

# What Pillow lets through from decoders on broken data.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError)


def decode(data: bytes, shape: tuple[int, int, int], *, where: str) -> NDArray[np.uint8]:
    """One picture as (channels, height, width); resized, antialiased, if it has another size.

    Args:
        data: the encoded picture.
        shape: 1 (grey) or 3 (red, green, blue) channels, height, width.
        where: the picture's name, for the error.

    Raises:
        ArchiveError: the picture is broken.
    """
    channels, height, width = shape
    picture = _open(data, "L" if channels == 1 else "RGB", where)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    pixels = np.asarray(picture)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def size_of(data: bytes, *, where: str) -> tuple[int, int]:
    """A picture's height and width.

    Raises:
        ArchiveError: the picture is broken.
    """
    picture = _open(data, "L", where)
    return picture.height, picture.width


def _open(data: bytes, mode: str, where: str) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return picture.convert(mode)
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise ArchiveError(
            f"{where} is no readable image: {error}", hint="replace it or take it out"
        ) from error
