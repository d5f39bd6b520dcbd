from __future__ import annotations

import hashlib
import http.server
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from metanas.data import load, omniglot
from metanas.errors import ArchiveError, DataNotFoundError, SplitMismatchError

WriteZip = Callable[[Path, Mapping[str, bytes]], Path]
Archives = dict[str, dict[str, bytes]]


@pytest.fixture
def archives(picture: Callable[..., bytes]) -> Archives:
    """Every class of the official archives, with two small drawings each."""
    strokes = np.ones((105, 105), bool)
    strokes[:52, :] = False  # the upper half is ink
    drawing, blank = picture(strokes), picture(np.ones((105, 105), bool))
    split = omniglot.vinyals_split()
    members: Archives = {"images_background": {}, "images_evaluation": {}}
    for i, name in enumerate(sorted(name for names in split.values() for name in names)):
        stem = "images_background" if i % 2 else "images_evaluation"
        members[stem][f"{stem}/{name}/{i:04d}_01.png"] = drawing
        members[stem][f"{stem}/{name}/{i:04d}_02.png"] = blank
    return members


@pytest.fixture
def root(tmp_path: Path, archives: Archives, write_zip: WriteZip) -> Path:
    for stem, members in archives.items():
        write_zip(tmp_path / "data" / f"{stem}.zip", members)
    return tmp_path / "data"


def test_the_split_has_the_published_counts() -> None:
    split = omniglot.vinyals_split()
    assert {name: len(classes) for name, classes in split.items()} == {
        "train": 1028,
        "val": 172,
        "test": 423,
    }
    assert len({name for classes in split.values() for name in classes}) == 1623
    assert {"Gurmukhi/character41", "Gurmukhi/character42"}.isdisjoint(split["val"])
    assert "Gurmukhi/character41" in split["train"]
    assert "Gurmukhi/character42" in split["test"]


def test_from_archives(root: Path) -> None:
    data = load("omniglot", data_root=root)
    assert data.shape == (1, 28, 28)
    assert data.inverted
    assert len(data.train.classes) == 1028
    assert set(data.train.counts) == {2}
    drawing, blank = data.train.images_of(0)[:, 0].astype(int)
    assert not blank.any()
    assert (drawing[:13] > 250).all(), "strokes are white"
    assert (drawing[15:] < 5).all()


def test_rotations_are_classes_as_asked(root: Path) -> None:
    def counts(**options: str) -> list[int]:
        data = load("omniglot", data_root=root, **options)  # type: ignore[arg-type]
        return [each.class_count for each in (data.train, data.val, data.test)]

    assert counts() == [4112, 172, 423]
    assert counts(rotations="train") == [4112, 172, 423]
    assert counts(rotations="none") == [1028, 172, 423]
    assert counts(rotations="all") == [4112, 688, 1692]


def test_from_extracted_folders_below_omniglot(root: Path, tmp_path: Path) -> None:
    for stem in omniglot.MD5_SUMS:
        with zipfile.ZipFile(root / f"{stem}.zip") as archive:
            archive.extractall(tmp_path / "extracted" / "omniglot")
    from_zips = load("omniglot", data_root=root)
    from_folders = load("omniglot", data_root=tmp_path / "extracted")
    assert np.array_equal(from_zips.test.images, from_folders.test.images)
    assert from_zips.test.classes == from_folders.test.classes


def test_a_missing_class(root: Path, archives: Archives, write_zip: WriteZip) -> None:
    kept = {
        name: data for name, data in archives["images_background"].items() if "ULOG" not in name
    }
    write_zip(root / "images_background.zip", kept)
    with pytest.raises(SplitMismatchError, match="no drawings of ULOG/character"):
        load("omniglot", data_root=root)


def test_a_truncated_archive(root: Path) -> None:
    path = root / "images_evaluation.zip"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArchiveError, match=r"images_evaluation\.zip is no whole zip archive"):
        load("omniglot", data_root=root)


def test_archives_that_are_not_there_name_the_places(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"images_background\.zip") as caught:
        load("omniglot", data_root=tmp_path / "nowhere")
    assert str(tmp_path / "nowhere" / "omniglot") in caught.value.what
    assert "data root" in caught.value.hint


@pytest.fixture
def server(root: Path) -> Iterator[str]:
    """A real HTTP server of the archives."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(root))
    ) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_archives_are_downloaded_once(
    root: Path, server: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(omniglot, "BASE_URL", server)
    for stem in omniglot.MD5_SUMS:
        data = (root / f"{stem}.zip").read_bytes()
        monkeypatch.setitem(omniglot.MD5_SUMS, stem, hashlib.md5(data).hexdigest())
    reports: list[tuple[str, int, int]] = []
    data = load("omniglot", progress=lambda *report: reports.append(report))
    assert len(data.test.classes) == 423
    assert (cache / "omniglot" / "images_background.zip").is_file()
    assert {what for what, _, _ in reports} == {
        "downloading images_background.zip",
        "downloading images_evaluation.zip",
        "decoding omniglot",
    }
    assert reports[-1][1] == reports[-1][2] == 1623 * 2
    monkeypatch.setattr(omniglot, "BASE_URL", "http://127.0.0.1:9")
    load("omniglot")


def test_another_file_than_the_official_one_is_not_kept(
    server: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(omniglot, "BASE_URL", server)
    with pytest.raises(DataNotFoundError, match="another file than expected"):
        load("omniglot")
    assert list((cache / "omniglot").iterdir()) == []


def test_a_file_that_the_server_lacks(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(omniglot, "BASE_URL", f"{server}/moved")
    with pytest.raises(DataNotFoundError, match="404"):
        load("omniglot")


def test_no_internet_says_where_to_put_the_files(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setattr(omniglot, "BASE_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(DataNotFoundError, match="cannot be downloaded") as caught:
        load("omniglot")
    assert str(cache / "omniglot" / "images_background.zip") in caught.value.hint
