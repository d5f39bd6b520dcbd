from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from metanas.data import DataSet, load
from metanas.errors import (
    ArchiveError,
    DataError,
    DataNotFoundError,
    EmptyClassError,
    NotEnoughImagesError,
    SplitMismatchError,
)

Write = Callable[[Path, Mapping[str, bytes]], Path]


@pytest.fixture
def flat(tmp_path: Path, picture: Callable[..., bytes], write_files: Write) -> Path:
    """25 classes side by side; class i has i + 1 pictures, red by its number."""
    members = {
        f"class{i:02d}/{j}.png": picture((i * 10, 20, 30), size=12)
        for i in range(25)
        for j in range(i + 1)
    }
    return write_files(tmp_path / "flat", members)


@pytest.fixture
def divided(tmp_path: Path, picture: Callable[..., bytes], write_files: Write) -> Path:
    members = {
        f"{split}/{split}{i}/{j}.JPG": picture(0, size=10, kind="JPEG")
        for split, count in (("train", 4), ("val", 2), ("test", 3))
        for i in range(count)
        for j in range(2)
    }
    return write_files(tmp_path / "divided", members)


def _classes(data: DataSet) -> list[tuple[str, ...]]:
    return [data.train.classes, data.val.classes, data.test.classes]


def test_folders_train_val_and_test(divided: Path) -> None:
    data = load("folder", data_root=divided)
    assert _classes(data) == [
        ("train0", "train1", "train2", "train3"),
        ("val0", "val1"),
        ("test0", "test1", "test2"),
    ]
    assert data.shape == (3, 10, 10)


def test_class_folders_alone_are_split_by_the_seed(flat: Path) -> None:
    data = load("folder", data_root=flat)
    assert [len(names) for names in _classes(data)] == [16, 4, 5]
    assert len({name for names in _classes(data) for name in names}) == 25
    assert _classes(load("folder", data_root=flat)) == _classes(data)
    assert _classes(load("folder", data_root=flat, seed=1)) != _classes(data)


def test_classes_keep_their_own_images(flat: Path) -> None:
    data = load("folder", data_root=flat)
    for image_set in (data.train, data.val, data.test):
        for class_index, name in enumerate(image_set.classes):
            number = int(name[5:])
            images = image_set.images_of(class_index)
            assert len(images) == number + 1
            assert (images[:, 0] == number * 10).all()
            assert (images[:, 2] == 30).all()


def test_size_and_grey_as_asked(flat: Path) -> None:
    assert load("folder", data_root=flat).shape == (3, 12, 12)
    assert load("folder", data_root=flat, image_size=(6, 9)).shape == (3, 6, 9)
    assert load("folder", data_root=flat, grey=True).shape == (1, 12, 12)


def test_pictures_with_palettes_and_transparency(
    tmp_path: Path, picture: Callable[..., bytes], write_files: Write
) -> None:
    modes = {"a": ("P", 3), "b": ("RGBA", (9, 8, 7, 0)), "c": ("L", 50), "d": ("1", 1)}
    write_files(
        tmp_path / "modes",
        {f"{name}/0.png": picture(value, mode=mode) for name, (mode, value) in modes.items()},
    )
    data = load("folder", data_root=tmp_path / "modes")
    images = {
        name: image_set.images_of(i)[0, :, 0, 0].tolist()
        for image_set in (data.train, data.val, data.test)
        for i, name in enumerate(image_set.classes)
    }
    assert images["b"] == [9, 8, 7]
    assert images["c"] == [50, 50, 50]
    assert images["d"] == [255, 255, 255]


def test_a_changed_image_is_seen(flat: Path, picture: Callable[..., bytes]) -> None:
    before = load("folder", data_root=flat)
    (flat / "class00" / "0.png").write_bytes(picture((255, 255, 255), size=12) + b"\0")
    after = load("folder", data_root=flat)
    assert before.fingerprint != after.fingerprint
    images = [each.images for each in (after.train, after.val, after.test)]
    assert any((each == 255).all(axis=(1, 2, 3)).any() for each in images)


def test_a_renamed_class_is_seen(flat: Path) -> None:
    load("folder", data_root=flat)
    (flat / "class03").rename(flat / "class03b")
    names = {name for names in _classes(load("folder", data_root=flat)) for name in names}
    assert "class03b" in names
    assert "class03" not in names


def test_an_empty_class_folder(flat: Path) -> None:
    (flat / "cats").mkdir()
    (flat / "cats" / "notes.txt").write_text("no image")
    with pytest.raises(EmptyClassError, match=r"class folder 'cats' of .*flat has no image"):
        load("folder", data_root=flat)


@pytest.mark.parametrize("data", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_image(flat: Path, data: bytes) -> None:
    (flat / "class04" / "broken.png").write_bytes(data)
    with pytest.raises(ArchiveError, match=r"class04/broken\.png is no readable image"):
        load("folder", data_root=flat)


def test_images_of_any_truncation_are_refused(flat: Path, picture: Callable[..., bytes]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (12, 12, 3), np.uint8)
    whole = picture(noise)
    path = flat / "class04" / "broken.png"
    for length in range(1, len(whole) - 12, 37):
        path.write_bytes(whole[:length])
        with pytest.raises(ArchiveError, match=r"broken\.png"):
            load("folder", data_root=flat)


def test_a_missing_split_folder(divided: Path) -> None:
    (divided / "val").rename(divided / "validation")
    with pytest.raises(SplitMismatchError, match="has split folders, but no val"):
        load("folder", data_root=divided)


def test_a_split_without_class_folders(divided: Path) -> None:
    for name in ("val0", "val1"):
        (divided / "val" / name / "0.JPG").rename(divided / "val" / f"{name}.JPG")
        (divided / "val" / name / "1.JPG").unlink()
        (divided / "val" / name).rmdir()
    with pytest.raises(DataNotFoundError, match=r"no class folder in .*val"):
        load("folder", data_root=divided)


def test_fewer_than_three_classes(
    tmp_path: Path, picture: Callable[..., bytes], write_files: Write
) -> None:
    root = write_files(tmp_path / "two", {"a/0.png": picture(), "b/0.png": picture()})
    with pytest.raises(NotEnoughImagesError, match="2 classes cannot be split"):
        load("folder", data_root=root)


def test_no_folder_and_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="is no folder"):
        load("folder", data_root=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataNotFoundError, match="no image in"):
        load("folder", data_root=tmp_path / "empty")


def test_rotations_need_square_images(flat: Path) -> None:
    assert load("folder", data_root=flat, rotations="train").train.class_count == 64
    with pytest.raises(DataError, match="cannot be turned"):
        load("folder", data_root=flat, rotations="train", image_size=(6, 9))
