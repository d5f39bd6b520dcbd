"""Bundles as files, and the example in them."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from metanas.deploy import export_onnx
from metanas.deploy.bundle import default_version, write_bundle
from metanas.errors import InvalidBundleError
from support.random_networks import INPUT_SHAPE, make_card, random_vgg9

EXAMPLE = resources.files("metanas.deploy.bundle").joinpath("example.py").read_text("utf-8")


def test_the_same_contents_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    files = {"b": b"2", "a": b"1"}
    write_bundle(first, files, name="flowers", card={"licence": "MIT"})
    write_bundle(second, dict(reversed(files.items())), name="flowers", card={"licence": "MIT"})
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert archive.namelist() == ["a", "b", "manifest.json"]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_the_version_tells_contents_apart() -> None:
    contents = ({"a": b"1"}, {"a": b"2"}, {"b": b"1"}, {"a": b"1", "b": b""}, {"a1": b""})
    assert len({default_version(files) for files in contents}) == len(contents)


@pytest.mark.parametrize(
    ("name", "version", "file"), [("../up", "1", "a"), ("up", "a/b", "a"), ("up", "1", "/a")]
)
def test_names_that_no_board_would_take(tmp_path: Path, name: str, version: str, file: str) -> None:
    with pytest.raises(InvalidBundleError, match="is no name"):
        write_bundle(tmp_path / "bundle", {file: b"x"}, name=name, version=version)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_old_bundle(tmp_path: Path, full_disk) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "bundle"
    path.write_bytes(b"old")
    with full_disk(), pytest.raises(OSError, match="large"):
        write_bundle(path, {"a": b"x" * 1000}, name="flowers")
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"old"]


def test_the_example_is_short() -> None:
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) <= 22


@pytest.mark.parametrize(
    ("shape", "inverted"), [(INPUT_SHAPE, False), (INPUT_SHAPE, True), ((3, 32, 24), False)]
)
def test_the_example_answers_as_the_agent_does(
    tmp_path: Path, shape: tuple[int, int, int], inverted: bool
) -> None:
    """In plain onnxruntime: nothing of metanas can be imported there."""
    from metanas_agent.learning.feeding import Feeding
    from metanas_agent.learning.pictures import read_images

    card = replace(make_card(channels=shape[0]), inverted=inverted)
    model = export_onnx(random_vgg9(input_shape=shape), input_shape=shape, metadata=card)
    (tmp_path / "model.onnx").write_bytes(model)
    (tmp_path / "example.py").write_text(EXAMPLE)
    rng = np.random.default_rng(0)
    pictures = [tmp_path / f"{number}.png" for number in range(8)]
    for path in pictures:
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8)).resize((90, 50)).save(path)
    run = subprocess.run(
        [sys.executable, "-c", _WITHOUT_METANAS, str(tmp_path / "example.py"), *map(str, pictures)],
        capture_output=True,
        check=True,
        text=True,
    )
    feeding = Feeding(shape=shape, mean=card.mean, std=card.std, inverted=inverted)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    logits = session.run(None, {"images": read_images(pictures, feeding)})[0]
    expected = [card.labels[way] for way in logits.argmax(1)]
    assert [line.rpartition(" ")[2] for line in run.stdout.splitlines()] == expected
    assert json.loads(session.get_modelmeta().custom_metadata_map["inverted"]) is inverted


_WITHOUT_METANAS = """
import runpy, sys
sys.modules |= dict.fromkeys(("metanas", "metanas_agent", "torch"))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
