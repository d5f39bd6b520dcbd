from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metanas.data import ImageSet


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for every test, and no data root but what the test gives."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("METANAS_CACHE", str(folder))
    monkeypatch.delenv("METANAS_DATA", raising=False)
    return folder


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """Encodes a picture of one value, or of the pixels given."""

    def encode(value: object = 0, *, size: int = 8, mode: str = "RGB", kind: str = "PNG") -> bytes:
        if isinstance(value, np.ndarray):
            image = Image.fromarray(value)
        else:
            image = Image.new(mode, (size, size), value)  # type: ignore[arg-type]
        stream = io.BytesIO()
        image.save(stream, kind)
        return stream.getvalue()

    return encode


@pytest.fixture
def write_zip() -> Callable[[Path, Mapping[str, bytes]], Path]:
    def write(path: Path, members: Mapping[str, bytes]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path

    return write


@pytest.fixture
def write_files() -> Callable[[Path, Mapping[str, bytes]], Path]:
    def write(root: Path, members: Mapping[str, bytes]) -> Path:
        for name, data in members.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        return root

    return write


@pytest.fixture
def numbered() -> Callable[..., ImageSet]:
    """An image set in which every image's corner pixels say which class and image it is."""

    def make(counts: list[int], *, quarter_turns: int = 1, split: str = "train") -> ImageSet:
        images = np.zeros((sum(counts), 1, 4, 4), np.uint8)
        offsets = np.cumsum([0, *counts])
        for label, (start, stop) in enumerate(pairwise(offsets)):
            images[start:stop, 0, 0, 0] = label + 1
            images[start:stop, 0, 0, 1] = np.arange(stop - start) + 1
        return ImageSet(
            images=images,
            offsets=offsets,
            classes=tuple(f"c{label}" for label in range(len(counts))),
            split=split,
            mean=(0.25,),
            std=(0.5,),
            quarter_turns=quarter_turns,
        )

    return make
