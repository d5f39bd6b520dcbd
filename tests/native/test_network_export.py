"""An exported network as a program beside its model: written whole, and only if it agrees."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest

from metanas.deploy import NativeExport, export_program
from metanas.errors import ExportError, NativeBuildError, NativeError, UnknownTargetError
from support.native_program import NativeProgram
from support.random_networks import make_card, random_vgg9
from support.sampled_networks import run_onnx, sampled_network

pytest.importorskip("tvm", reason="needs apache-tvm: pip install 'metanas[native]'")

from metanas.deploy import export_onnx, native_export
from metanas.native import build_network_program
from metanas.native.cache import Artifact
from metanas.native.running import emulator_of, run_network_program
from metanas.native.targets import find_target

SHAPE = (1, 28, 28)
HERE = find_target("x86-64").name


@pytest.fixture(scope="module")
def model() -> bytes:
    return sampled_network("vgg9", 1, SHAPE, downsampling="strided")


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory) -> NativeExport:
    return export_program(model, "x86-64", tmp_path_factory.mktemp("native"))


def test_program_beside_the_model_computes_what_the_model_does(exported, model):
    image = np.random.default_rng(3).standard_normal(SHAPE, np.float32)
    with NativeProgram(exported.path) as program:
        program.send(b"input\n" + image.tobytes())
        assert program.read_line() == "ok"
        program.ask("run 1")
        given = program.ask_floats("output")
    np.testing.assert_allclose(given, run_onnx(model, image), rtol=1e-4, atol=1e-4)


def test_manifest_says_what_the_program_is_and_how_to_feed_it(exported, model):
    manifest = json.loads((exported.path.parent / "manifest.json").read_text())
    assert manifest == exported.manifest
    program = exported.path.read_bytes()
    assert manifest["sha256"] == hashlib.sha256(program).hexdigest()
    assert manifest["size_bytes"] == len(program) == exported.size_bytes
    assert manifest["model_sha256"] == hashlib.sha256(model).hexdigest()
    assert manifest["target"] == HERE
    assert manifest["machines"] == ["x86_64"]
    assert manifest["input_shape"] == [1, 28, 28]
    assert json.loads(manifest["metadata"]["labels"]) == ["A", "B", "C", "D", "É"]
    assert manifest["built_from"]["tvm"].startswith("0.")


def test_program_was_run_and_agrees(exported):
    check = exported.manifest["check"]
    assert check["by"] == "this machine"
    assert check["images"] == 4
    assert check["largest_share"] <= check["tolerance"]
    assert "run by this machine" in exported.checked


@pytest.mark.skipif(not shutil.which("qemu-arm-static"), reason="needs qemu-user-static")
def test_program_of_a_pi_zero_is_run_by_an_emulator(model, tmp_path):
    exported = export_program(model, "armv6", tmp_path)
    assert exported.manifest["check"]["by"] == "qemu-arm-static -cpu arm1176"
    assert exported.manifest["machines"][0] == "armv6l"


def test_program_that_nothing_here_can_run_says_so(model, tmp_path, monkeypatch):
    build_network_program(model, find_target("armv6"))  # the toolchain is looked for by `which` too
    monkeypatch.setattr("metanas.native.running.shutil.which", lambda _: None)
    assert emulator_of(find_target("armv6")) is None
    exported = export_program(model, "armv6", tmp_path)
    assert exported.manifest["check"] is None
    assert exported.checked.startswith("not run here")


def test_program_that_computes_something_else_is_not_written(model, tmp_path, monkeypatch):
    other = sampled_network("vgg9", 2, SHAPE, downsampling="strided")
    monkeypatch.setattr(
        native_export,
        "build_network_program",
        lambda _, target: build_network_program(other, target),
    )
    with pytest.raises(ExportError, match="and ONNX Runtime differ by"):
        export_program(model, "x86-64", tmp_path / "native")
    assert not (tmp_path / "native").exists()


def test_model_of_several_images_a_call_is_refused(tmp_path):
    module = random_vgg9("k3c16relu")
    model = export_onnx(module, input_shape=SHAPE, metadata=make_card("k3c16relu"), batch=8)
    with pytest.raises(NativeBuildError, match="input is 8x1x28x28, not one image"):
        export_program(model, "x86-64", tmp_path)
    assert not list(tmp_path.iterdir())


def test_unknown_target_is_refused(model, tmp_path):
    with pytest.raises(UnknownTargetError, match="no native target 'z80'"):
        export_program(model, "z80", tmp_path)


@pytest.mark.parametrize("command", ["true", "cat"])
def test_what_does_not_answer_as_a_program_is_one_clear_error(command):
    path = shutil.which(command)
    artifact = Artifact(path, "", 0, HERE, {})
    with pytest.raises(NativeError, match="after 0 of 2 images") as raised:
        run_network_program(artifact, np.zeros((2, *SHAPE), np.float32))
    assert "\n" not in str(raised.value)


def test_program_given_images_of_another_size_is_one_clear_error(model):
    artifact = build_network_program(model, find_target("x86-64"))
    with pytest.raises(NativeError, match="of 2 images"):
        run_network_program(artifact, np.zeros((2, 1, 27, 28), np.float32))
