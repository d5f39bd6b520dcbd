"""`metanas verify` of a file, on a real agent; of a run, see `test_metanas`."""

from __future__ import annotations

import json

import pytest

from metanas.deploy import export_onnx, read_verification
from support.metanas_command import assert_one_clear_line, contents
from support.random_networks import ARCHITECTURE, INPUT_SHAPE, make_card, random_vgg9


@pytest.fixture(scope="module")
def model() -> bytes:
    return export_onnx(random_vgg9(), input_shape=INPUT_SHAPE, metadata=make_card())


def test_a_file_is_run_on_the_device(command, model, tmp_path):
    (tmp_path / "net.onnx").write_bytes(model)
    arguments = ("verify", tmp_path / "net.onnx", "--device", "local", "--episodes", 4)
    code, out, err = command(*arguments, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["passed"] is True
    assert told["network"]["architecture"] == ARCHITECTURE
    assert told["agreement"]["images"] == 4
    verification = read_verification(tmp_path / "net.verify.json")
    assert verification.agreement.largest_share == told["agreement"]["largest_share"] < 1e-5
    assert verification.memory.network_bytes > 0

    code, _, err = command(*arguments)
    assert code == 0, err
    for part in ("verdict  pass", "outputs  pass", "5 float32 layers", "memory   not promised"):
        assert part in err


def test_what_is_no_model_is_one_clear_line(command, model, tmp_path):
    (tmp_path / "cut.onnx").write_bytes(model[:1000])
    (tmp_path / "net.onnx").write_bytes(model)
    before = contents(tmp_path)
    verify = ("--device", "local")
    code, _, err = command("verify", tmp_path / "cut.onnx", *verify)
    assert code == 1
    assert_one_clear_line(err, "cut.onnx is not an ONNX model")
    (tmp_path / "cut.onnx").unlink()
    del before[tmp_path / "cut.onnx"]
    code, _, err = command("verify", tmp_path / "net.onnx", "--device", "eyeriss")
    assert code == 1
    assert_one_clear_line(err, "eyeriss is simulated", "runs no networks")
    code, _, err = command("verify", tmp_path / "absent.onnx", *verify)
    assert code == 1
    assert_one_clear_line(err, "absent.onnx", "no run folder")
    code, _, err = command("verify", tmp_path / "net.onnx", *verify, "--images", tmp_path / "none")
    assert code == 1
    assert_one_clear_line(err, "none is no folder")
    code, _, err = command("verify", tmp_path / "net.onnx", *verify, "--table", "no such table")
    assert code == 1
    assert_one_clear_line(err, "no such table")
    code, _, err = command("verify", tmp_path, *verify, "--table", "any")
    assert code == 2
    assert "--table" in err
    assert contents(tmp_path) == before
