"""`metanas export`: which files it writes for which device, and what it refuses."""

from __future__ import annotations

import json
import shutil

import onnx
import onnxruntime
import pytest

from metanas.deploy.opset import newest_opset, opset_of
from support.metanas_command import assert_one_clear_line, contents

TINY = "--epochs 1 --iterations 1 --tasks 1 --inner-steps 1 --train-queries 1 --workers 1".split()
NETWORK = "--ways 2 --queries 2 --episodes 2 --architecture k1c16relu --name baseline".split()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder with one network that has seen one task."""
    run = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        assert train(patch, "train", run, *TINY, *NETWORK) == 0
    return run


def train(patch, *arguments):
    from metanas.cli.app import main

    patch.setattr("sys.argv", ["metanas", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code or 0


@pytest.fixture
def export(command, trained):
    """Runs `metanas export` on it; exit code, and what it printed."""
    return lambda *arguments: command("export", trained, "--name", "baseline", *arguments)


def model_of(run):
    return onnx.load_model_from_string((run / "model.onnx").read_bytes())


def batch_dimension(proto):
    return proto.graph.input[0].type.tensor_type.shape.dim[0]


def test_file_says_how_pictures_become_its_input(export, trained):
    code, out, err = export("--json")
    assert code == 0, err
    written = json.loads(out)
    assert written["bytes"] == (trained / "model.onnx").stat().st_size
    proto = model_of(trained)
    assert batch_dimension(proto).dim_param == "batch"
    card = {entry.key: entry.value for entry in proto.metadata_props}
    assert card["colours"] == "grey"
    assert card["resize"] == "lanczos"
    assert json.loads(card["inverted"]) is False
    assert json.loads(card["input_shape"]) == [1, 28, 28]
    assert len(json.loads(card["labels"])) == 2
    assert json.loads(card["provenance"])["command"].startswith("metanas export")


def test_opset_and_batch_are_what_is_asked_for(export, trained):
    code, _, err = export("--opset", 15, "--batch", 3)
    assert code == 0, err
    assert "opset 15" in err
    proto = model_of(trained)
    assert (opset_of(proto), proto.ir_version) == (15, 8)
    assert batch_dimension(proto).dim_value == 3


def test_file_for_a_device_is_in_an_opset_that_it_reads(export, trained):
    newest = newest_opset(onnxruntime.__version__)
    code, _, err = export("--device", "local", "--opset", newest)
    assert code == 0, err
    assert opset_of(model_of(trained)) == newest


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--opset", 13), ("no network can be written in opset 13", "from 14 to")),
        (("--device", "eyeriss"), ("eyeriss is simulated", "such as local")),
        (("--device", "nonesuch"), ("unknown device 'nonesuch'",)),
        (("--device", "pi4"), ("no pi4 is paired",)),
    ],
)
def test_what_cannot_be_written_leaves_the_model_as_it_was(export, trained, arguments, parts):
    assert (trained / "model.onnx").exists() or export()[0] == 0
    before = contents(trained)
    code, _, err = export(*arguments)
    assert code == 1
    assert_one_clear_line(err, *parts)
    assert contents(trained) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("--batch", 0),
        ("--batch", "many"),
        ("--batch", -1),
        ("--batch", "9" * 20),
        ("--device", "pi0", "--batch", 8),
    ],
)
def test_an_impossible_batch_is_a_usage_error(export, arguments):
    code, _, err = export(*arguments)
    assert code == 2
    assert "--batch" in err


def test_a_run_without_that_network_is_one_clear_error(command, trained):
    code, _, err = command("export", trained, "--name", "found")
    assert code == 1
    assert_one_clear_line(err, "no trained 'found'", "it has: baseline", "metanas adapt")
    code, _, err = command("export", trained, "--name", "nosuch")
    assert code == 1
    assert_one_clear_line(err, "it has: baseline", "--architecture ... --name nosuch")


@pytest.mark.skipif(not shutil.which("qemu-arm-static"), reason="needs qemu-user-static")
def test_device_without_a_runtime_gets_a_program(export, trained, pytestconfig, monkeypatch):
    pytest.importorskip("tvm", reason="needs apache-tvm: pip install 'metanas[native]'")
    if pytestconfig.cache is not None:  # zig compiles its run-time library once
        zig = str(pytestconfig.cache.mkdir("zig"))
        monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", zig)
        monkeypatch.setenv("ZIG_LOCAL_CACHE_DIR", zig)
    code, out, err = export("--device", "pi0", "--json")
    assert code == 0, err
    native = json.loads(out)["native"]
    folder = trained / "native" / "armv6"
    assert native["program"] == str(folder / "program")
    assert native["check"]["by"] == "qemu-arm-static -cpu arm1176"
    assert json.loads((folder / "manifest.json").read_text())["sha256"] == native["sha256"]
