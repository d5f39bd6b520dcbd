from __future__ import annotations

import json
import pickle
import resource
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from metanas.data import DATASETS, DataSet, load
from metanas.errors import DataError, UnknownDataSetError

Write = Callable[[Path, Mapping[str, bytes]], Path]


@pytest.fixture
def root(tmp_path: Path, picture: Callable[..., bytes], write_files: Write) -> Path:
    members = {
        f"{split}/{split}{i}/{j}.png": picture((i, j, 7))
        for split in ("train", "val", "test")
        for i in range(3)
        for j in range(4)
    }
    return write_files(tmp_path / "images", members)


def _load(root: Path) -> tuple[DataSet, bool]:
    """The data set, and whether it was decoded anew."""
    reports: list[str] = []
    data = load("folder", data_root=root, progress=lambda what, *_: reports.append(what))
    return data, bool(reports)


def test_the_second_load_maps_what_the_first_decoded(root: Path) -> None:
    first, decoded_first = _load(root)
    second, decoded_second = _load(root)
    assert (decoded_first, decoded_second) == (True, False)
    assert first.fingerprint == second.fingerprint
    for one, other in ((first.train, second.train), (first.test, second.test)):
        assert np.array_equal(one.images, other.images)
        assert np.array_equal(one.offsets, other.offsets)
        assert (one.classes, one.mean, one.std) == (other.classes, other.mean, other.std)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps([1]))


@pytest.mark.parametrize("name", ["train.npy", "test.npy", "index.json"])
@pytest.mark.parametrize("damage", [_cut, _empty, _pickle, Path.unlink])
def test_a_damaged_cache_is_made_again(
    root: Path, cache: Path, name: str, damage: Callable[[Path], None]
) -> None:
    whole, _ = _load(root)
    expected = whole.train.images.copy()
    (path,) = cache.rglob(name)
    if name == "index.json" and damage is _cut:
        path.write_text(path.read_text()[:-5])
    else:
        damage(path)
    again, decoded = _load(root)
    assert decoded
    assert np.array_equal(again.train.images, expected)
    assert not _load(root)[1]


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "other"},
        {"shape": [1, 8, 8]},
        {"counts": {"train": [1], "val": [1], "test": [1]}},
        {"classes": {"train": []}},
        {"mean": [0.5]},
        {"std": None},
        {"surprise": 1},
    ],
)
def test_an_index_that_does_not_fit_is_made_again(
    root: Path, cache: Path, change: dict[str, object]
) -> None:
    _load(root)
    (path,) = cache.rglob("index.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert _load(root)[1]
    assert not _load(root)[1]


@pytest.mark.parametrize("text", ["[]", "null", "3", "{}", '"x"'])
def test_an_index_of_another_kind_is_made_again(root: Path, cache: Path, text: str) -> None:
    _load(root)
    (path,) = cache.rglob("index.json")
    path.write_text(text)
    assert _load(root)[1]


def test_a_write_that_fails_leaves_nothing_half_written(root: Path, cache: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            _load(root)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path for path in cache.rglob("*") if path.is_file()] == []
    assert _load(root)[1]


def test_the_index_says_how_it_was_made(root: Path, cache: Path) -> None:
    load("folder", data_root=root, seed=5)
    (path,) = cache.rglob("index.json")
    made = json.loads(path.read_text())["provenance"]
    assert made["seed"] == 5
    assert made["version"]


def test_images_are_read_only(root: Path) -> None:
    data, _ = _load(root)
    with pytest.raises(ValueError, match="read-only"):
        data.train.images[0] = 1


def test_the_data_root_follows_argument_environment_cache(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METANAS_DATA", str(root))
    assert load("folder").train.classes == ("train0", "train1", "train2")
    with pytest.raises(DataError, match=str(tmp_path / "elsewhere")):
        load("folder", data_root=tmp_path / "elsewhere")
    monkeypatch.delenv("METANAS_DATA")
    with pytest.raises(DataError, match=str(tmp_path / "cache")):
        load("folder")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownDataSetError, match="'imagenet'") as caught:
        load("imagenet")
    assert all(name in caught.value.hint for name in DATASETS)


def test_options_of_another_data_set(root: Path) -> None:
    with pytest.raises(DataError, match="size and colours of their own"):
        load("glyphs", grey=True)
