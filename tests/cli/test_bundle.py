"""`metanas bundle`: one file of what a run exported."""

from __future__ import annotations

import json

import pytest

from metanas.deploy import export_onnx
from metanas.files import write_bytes
from metanas.runs import RunFolder, RunSettings
from support.metanas_command import assert_one_clear_line
from support.random_networks import INPUT_SHAPE, make_card, random_vgg9


@pytest.fixture
def run(tmp_path):
    folder = RunFolder.create(tmp_path / "flowers", RunSettings(ways=3))
    model = export_onnx(random_vgg9(), input_shape=INPUT_SHAPE, metadata=make_card())
    write_bytes(folder.model, model)
    return folder


def test_it_says_what_it_packed(command, run, tmp_path):
    output = tmp_path / "flowers.metanas"
    code, out, err = command("bundle", run.path, "-o", output, "--version", "1.0")
    assert (code, out) == (0, "")
    assert f"{output}: flowers 1.0, {output.stat().st_size} bytes" in err
    assert "on a board: metanas-agent install flowers.metanas; its name there is flowers" in err
    assert "no board learns with it: run metanas export" in err
    code, out, _ = command("bundle", run.path, "-o", output, "--name", "roses", "--json")
    written = json.loads(out)
    assert (code, written["name"], len(written["version"])) == (0, "roses", 12)
    assert written["bytes"] == output.stat().st_size
    assert written["files"]["model.onnx"] == run.model.stat().st_size


def test_what_cannot_work_is_one_clear_line(command, run, tmp_path):
    output = tmp_path / "flowers.metanas"
    code, _, err = command("bundle", run.path, "-o", output, "--name", "a/b")
    assert code == 1
    assert_one_clear_line(err, "'a/b' is no name")
    run.model.unlink()
    code, _, err = command("bundle", run.path, "-o", output)
    assert code == 1
    assert_one_clear_line(err, "model.onnx does not exist", "metanas export")
    assert not output.exists()
