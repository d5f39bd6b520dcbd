from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from metanas.data import load
from metanas.errors import ArchiveError, DataNotFoundError, EmptyClassError, SplitMismatchError

Write = Callable[[Path, Mapping[str, bytes]], Path]
Splits = dict[str, dict[str, bytes]]


@pytest.fixture
def splits(picture: Callable[..., bytes]) -> Splits:
    """64, 16 and 20 classes of two pictures: one of 84x84 in a class's colour, one smaller."""
    counts = {"train": 64, "val": 16, "test": 20}
    return {
        split: {
            f"{split}/n{label:08d}/n{label:08d}{i}.{kind}": picture(
                (label, 100, 200), size=size, kind="PNG" if kind == "png" else "JPEG"
            )
            for label in range(count)
            for i, (kind, size) in enumerate((("png", 84), ("jpg", 50)))
        }
        for split, count in counts.items()
    }


@pytest.fixture
def root(tmp_path: Path, splits: Splits, write_zip: Write) -> Path:
    for split, members in splits.items():
        write_zip(tmp_path / "data" / f"{split}.zip", members)
    return tmp_path / "data"


def test_from_archives(root: Path) -> None:
    data = load("mini-imagenet", data_root=root)
    assert data.shape == (3, 84, 84)
    assert [each.class_count for each in (data.train, data.val, data.test)] == [64, 16, 20]
    assert data.train.classes[5] == "n00000005"
    exact, resized = data.train.images_of(5).astype(int)
    assert (exact == np.array([5, 100, 200])[:, None, None]).all()
    assert np.abs(resized - exact).max() <= 3


def test_mean_and_std_are_those_of_the_training_split(root: Path) -> None:
    data = load("mini-imagenet", data_root=root)
    scaled = data.train.images.astype(np.float64) / 255
    assert data.mean == pytest.approx(scaled.mean(axis=(0, 2, 3)))
    spread = np.maximum(scaled.std(axis=(0, 2, 3)), 1 / 255)
    assert data.std == pytest.approx(spread)
    assert data.test.mean == data.mean


def test_from_folders(tmp_path: Path, root: Path, splits: Splits, write_files: Write) -> None:
    folders = tmp_path / "folders" / "mini_imagenet"
    for members in splits.values():
        write_files(folders, members)
    (folders / "train" / ".DS_Store").write_bytes(b"x")
    (folders / "train" / "n00000000" / "readme.txt").write_bytes(b"x")
    from_folders = load("mini-imagenet", data_root=tmp_path / "folders")
    assert np.array_equal(from_folders.val.images, load("mini-imagenet", data_root=root).val.images)


def test_archives_without_the_split_above_the_classes(
    root: Path, splits: Splits, write_zip: Write
) -> None:
    expected = load("mini-imagenet", data_root=root)
    members = {name.removeprefix("val/"): data for name, data in splits["val"].items()}
    write_zip(root / "val.zip", {**members, "__MACOSX/n1/._a.jpg": b"x"})
    data = load("mini-imagenet", data_root=root)
    assert data.val.classes == expected.val.classes
    assert np.array_equal(data.val.images, expected.val.images)


def test_another_number_of_classes(root: Path, splits: Splits, write_zip: Write) -> None:
    kept = {name: data for name, data in splits["val"].items() if "n00000003" not in name}
    write_zip(root / "val.zip", kept)
    with pytest.raises(SplitMismatchError, match=r"val\.zip has 15 classes; .* has 16"):
        load("mini-imagenet", data_root=root)


def test_an_empty_class_in_an_archive(root: Path, splits: Splits, write_zip: Write) -> None:
    write_zip(root / "test.zip", {**splits["test"], "test/n99999999/": b""})
    with pytest.raises(EmptyClassError, match=r"'n99999999' of .*test\.zip has no image"):
        load("mini-imagenet", data_root=root)


def test_a_truncated_picture_names_archive_and_member(
    root: Path, splits: Splits, write_zip: Write, cache: Path
) -> None:
    name = "train/n00000007/n000000071.jpg"
    write_zip(root / "train.zip", {**splits["train"], name: splits["train"][name][:-40]})
    with pytest.raises(ArchiveError, match=r"train\.zip: n00000007/n000000071\.jpg is no readable"):
        load("mini-imagenet", data_root=root)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_member_damaged_inside_the_archive(root: Path) -> None:
    path = root / "train.zip"
    data = bytearray(path.read_bytes())
    start = data.index(b"n000000000.png") + len("n000000000.png")
    data[start + 10] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match=r"n00000000/n000000000\.png cannot be read.*CRC"):
        load("mini-imagenet", data_root=root)


def test_a_missing_split(root: Path) -> None:
    (root / "test.zip").unlink()
    with pytest.raises(DataNotFoundError, match=r"no test\.zip or folder test in .*mini_imagenet"):
        load("mini-imagenet", data_root=root)
