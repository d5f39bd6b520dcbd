from __future__ import annotations

import io
import os
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from metanas.data import load
from metanas.errors import ArchiveError, DataNotFoundError, SplitMismatchError

Write = Callable[..., Path]


class _Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Writes texts and bytes as Python 2 wrote its strings, as in the official archive."""

    dispatch: ClassVar[dict[type, Any]] = {**pickle._Pickler.dispatch}  # type: ignore[attr-defined]

    def _save_string(self, value: str | bytes) -> None:
        data = value.encode() if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = _save_string


def _pickled(value: object) -> bytes:
    stream = io.BytesIO()
    _Python2Pickler(stream, protocol=2).dump(value)
    return stream.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


@pytest.fixture
def contents() -> dict[str, Any]:
    """Three images a class: five fine labels in every superclass, image values their labels."""
    fine = np.repeat(np.arange(100), 3)
    np.random.default_rng(0).shuffle(fine)

    def part(labels: np.ndarray[Any, Any]) -> dict[str, Any]:
        return {
            "data": np.repeat(labels.astype(np.uint8)[:, None], 3072, axis=1),
            "fine_labels": labels.tolist(),
            "coarse_labels": (labels % 20).tolist(),
            "filenames": [f"{label}.png" for label in labels],
            "batch_label": "batch",
        }

    names = {
        "fine_label_names": [f"fine{i}" for i in range(100)],
        "coarse_label_names": [f"coarse{i}" for i in range(20)],
    }
    return {"meta": names, "train": part(fine[:200]), "test": part(fine[200:])}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def archive(contents: dict[str, Any], *, encode: Callable[[object], bytes] = _pickled) -> Path:
        path = tmp_path / "data" / "cifar-100-python.tar.gz"
        path.parent.mkdir(exist_ok=True)
        with tarfile.open(path, "w:gz") as tar:
            for name, value in contents.items():
                data = encode(value)
                info = tarfile.TarInfo(f"cifar-100-python/{name}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return path.parent

    return archive


def test_the_archive_is_in_the_official_form(contents: dict[str, Any]) -> None:
    loaded = pickle.loads(_pickled(contents["train"]), encoding="bytes")
    assert set(loaded) == {
        *(b"data", b"fine_labels", b"coarse_labels", b"filenames", b"batch_label")
    }
    assert loaded[b"data"].dtype == np.uint8


def test_split_by_superclass(write: Write, contents: dict[str, Any]) -> None:
    data = load("fc100", data_root=write(contents))
    assert data.shape == (3, 32, 32)
    assert [each.class_count for each in (data.train, data.val, data.test)] == [60, 20, 20]
    superclasses = {
        split: {int(name[4:]) % 20 for name in data.split(split).classes}
        for split in ("train", "val", "test")
    }
    assert superclasses["val"] == {8, 11, 13, 16}
    assert superclasses["test"] == {0, 7, 12, 14}
    assert len(superclasses["train"]) == 12
    for class_index, name in enumerate(data.train.classes):
        images = data.train.images_of(class_index)
        assert len(images) == 3
        assert (images == int(name[4:])).all()


def test_planes_of_colour_keep_their_order(write: Write, contents: dict[str, Any]) -> None:
    rows = contents["train"]["data"]
    rows[:] = np.arange(3072) // 1024 * 100 + np.arange(3072) % 1024 // 32
    contents["test"]["data"][:] = rows[0]
    image = load("fc100", data_root=write(contents)).train.images[0]
    expected = np.arange(3)[:, None, None] * 100 + np.arange(32)[None, :, None]
    assert (image == expected).all()


class _Harm:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_code_is_refused(
    write: Write, contents: dict[str, Any], tmp_path: Path
) -> None:
    contents["train"] = _Harm(tmp_path / "harmed")
    root = write(contents, encode=lambda value: pickle.dumps(value, protocol=2))
    with pytest.raises(ArchiveError, match=r"posix\.mkdir|nt\.mkdir"):
        load("fc100", data_root=root)
    assert not (tmp_path / "harmed").exists()


def test_a_truncated_archive(write: Write, contents: dict[str, Any]) -> None:
    path = write(contents) / "cifar-100-python.tar.gz"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ArchiveError, match=r"cifar-100-python\.tar\.gz cannot be read"):
        load("fc100", data_root=path.parent)


@pytest.mark.parametrize("member", ["meta", "train", "test"])
def test_a_missing_member(write: Write, contents: dict[str, Any], member: str) -> None:
    del contents[member]
    with pytest.raises(ArchiveError, match=member):
        load("fc100", data_root=write(contents))


def test_labels_that_do_not_fit_the_images(write: Write, contents: dict[str, Any]) -> None:
    contents["test"]["fine_labels"].pop()
    with pytest.raises(ArchiveError, match=r"300 images .* 299 fine"):
        load("fc100", data_root=write(contents))


@pytest.mark.parametrize("value", [[], {"data": 3}, {"data": np.zeros((3, 5))}])
def test_other_contents(write: Write, contents: dict[str, Any], value: object) -> None:
    contents["train"] = value
    with pytest.raises(ArchiveError):
        load("fc100", data_root=write(contents))


def test_other_superclasses(write: Write, contents: dict[str, Any]) -> None:
    for part in ("train", "test"):
        labels = np.array(contents[part]["fine_labels"])
        contents[part]["coarse_labels"] = (labels // 10).tolist()
    with pytest.raises(SplitMismatchError, match="superclasses"):
        load("fc100", data_root=write(contents))


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"no cifar-100-python\.tar\.gz in") as caught:
        load("fc100", data_root=tmp_path)
    assert "cs.toronto.edu" in caught.value.hint
