"""The embedded data set: characters of many scripts, drawn in several styles and warped.

A class is a character that every style contains. A drawing is the character in one style, fitted
into the image by its bounding box and bent by a small random warp. Of characters that look alike
once fitted (Latin A and Greek Alpha, c and C) the first is kept.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.ft2font import FT2Font
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageFont, features

from metanas.data.recipe import ClassImages, Plan, Recipe, Request, digest
from metanas.data.splitting import split_classes
from metanas.errors import DataNotFoundError

SIZE = 28
DRAWINGS = 20
STYLES = tuple(
    f"DejaVu{family}{style}"
    for family, slanted in (("Sans", "Oblique"), ("SansMono", "Oblique"), ("Serif", "Italic"))
    for style in ("", "-Bold", f"-{slanted}", f"-Bold{slanted}")
)

# Letters, digits, mathematical and other symbols, currencies, punctuation, letter-like numbers.
_CATEGORIES = frozenset({"Lu", "Ll", "Lo", "Nd", "Sm", "So", "Sc", "Po", "Nl"})
_BOXES_AND_BLOCKS = range(0x2500, 0x25A0)
_REPLACEMENT = 0xFFFD
# Above this cosine between two blurred, fitted bitmaps a person takes them for one character.
_ALIKE = 0.93

_FONT_PIXELS = 64
# Drawings are bent at twice their size, then averaged down.
_CANVAS = 2 * SIZE
_EXTENT = 36
# Four cells; their nine corners are pulled about.
_TICKS = (0, SIZE, _CANVAS)
_CORNERS = np.stack(np.meshgrid(_TICKS, _TICKS), axis=-1)  # [row, column] = (x, y)


def recipe(request: Request) -> Recipe:
    """Characters as classes: 1x28x28, white on black, 20 drawings each.

    Raises:
        DataNotFoundError: matplotlib's fonts are missing.
    """
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    paths = [folder / f"{style}.ttf" for style in STYLES]
    for path in paths:
        if not path.is_file():
            raise DataNotFoundError(
                f"glyphs: the font {path} is missing", hint="install matplotlib anew"
            )
    fonts = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    rasteriser = features.version("freetype2")
    return Recipe(
        fingerprint=digest(["glyphs", fonts, rasteriser, request.seed]),
        open=lambda: _plan(paths, request.seed),
    )


@contextmanager
def _plan(paths: list[Path], seed: int) -> Iterator[Plan]:
    fonts = [
        ImageFont.truetype(path, _FONT_PIXELS, layout_engine=ImageFont.Layout.BASIC)
        for path in paths
    ]
    classes = [
        ClassImages(
            name=unicodedata.name(character),
            count=DRAWINGS,
            read=partial(_drawings, character, fonts, seed),
        )
        for character in _distinct(_candidates(paths), fonts[0])
    ]
    yield Plan(shape=(1, SIZE, SIZE), splits=split_classes(classes, seed=0))


def _candidates(paths: list[Path]) -> list[str]:
    """Characters that all fonts map, in code point order, without accented variants."""
    common = set.intersection(*(set(FT2Font(path).get_charmap()) for path in paths))
    return [
        chr(code)
        for code in sorted(common)
        if unicodedata.category(chr(code)) in _CATEGORIES
        and not unicodedata.decomposition(chr(code))
        and code not in _BOXES_AND_BLOCKS
        and code != _REPLACEMENT
    ]


def _distinct(characters: list[str], font: ImageFont.FreeTypeFont) -> list[str]:
    """Those that leave a mark and look like none before them."""
    drawn = [(each, glyph) for each in characters if (glyph := _fitted(each, font)) is not None]
    blurred = [
        np.asarray(glyph.filter(ImageFilter.GaussianBlur(2)).reduce(2), np.float64).ravel()
        for _, glyph in drawn
    ]
    # Sums of products of whole numbers below 2^53: exact, so the same on every machine.
    products = np.array(blurred) @ np.array(blurred).T
    squares = np.diag(products)
    alike = products**2 > _ALIKE**2 * np.outer(squares, squares)
    kept: list[int] = []
    for i in range(len(drawn)):
        if not alike[i, kept].any():
            kept.append(i)
    return [drawn[i][0] for i in kept]


def _fitted(character: str, font: ImageFont.FreeTypeFont) -> Image.Image | None:
    """The character, white on black, its longer side as long as always; None if it is blank."""
    mask = font.getmask(character, mode="L")
    glyph = Image.frombytes("L", mask.size, bytes(mask))
    box = glyph.getbbox()
    if box is None:
        return None
    glyph = glyph.crop(box)
    scale = _EXTENT / max(glyph.size)
    width, height = (max(1, round(side * scale)) for side in glyph.size)
    canvas = Image.new("L", (_CANVAS, _CANVAS))
    resized = glyph.resize((width, height), Image.Resampling.LANCZOS)
    canvas.paste(resized, ((_CANVAS - width) // 2, (_CANVAS - height) // 2))
    return canvas


def _drawings(character: str, fonts: list[ImageFont.FreeTypeFont], seed: int) -> NDArray[np.uint8]:
    """Every style comes before any comes twice: (DRAWINGS, 1, SIZE, SIZE)."""
    rng = np.random.default_rng([seed, ord(character)])
    rounds = -(-DRAWINGS // len(fonts))
    styles = np.concatenate([rng.permutation(len(fonts)) for _ in range(rounds)])[:DRAWINGS]
    drawings = []
    for style in styles:
        glyph = _fitted(character, fonts[style]) or Image.new("L", (_CANVAS, _CANVAS))
        drawings.append(np.asarray(_bent(glyph, rng).reduce(2)))
    return np.stack(drawings)[:, None]


def _bent(glyph: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Turned, sheared, scaled, shifted, and gently pulled at the corners of a mesh."""
    angle, shear = rng.uniform((-0.21, -0.15), (0.21, 0.15))
    stretch = rng.uniform(0.85, 1.15, 2)
    shift = rng.uniform(-4, 4, 2)
    pull = rng.uniform(-2, 2, _CORNERS.shape)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    forward = turn @ np.array([[1, shear], [0, 1]]) @ np.diag(stretch)
    centre = _CANVAS / 2
    source = (_CORNERS - centre - shift) @ np.linalg.inv(forward).T + centre + pull
    mesh = [
        (
            (_TICKS[x], _TICKS[y], _TICKS[x + 1], _TICKS[y + 1]),
            tuple(source[[y, y + 1, y + 1, y], [x, x, x + 1, x + 1]].ravel().tolist()),
        )
        for y, x in np.ndindex(2, 2)
    ]
    return glyph.transform(glyph.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)
