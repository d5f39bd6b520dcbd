"""Whole networks as static programs: what they compute, how they behave, what is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from metanas.devices import LocalAgent
from metanas.errors import NativeBuildError, NativeUnavailableError
from support.arm_code import arm_attributes, is_static
from support.native_program import NativeProgram
from support.onnx_graphs import node, onnx_file
from support.sampled_networks import (
    export_architecture,
    relative_difference,
    run_native,
    run_onnx,
    sampled_network,
)

pytest.importorskip("tvm", reason="needs apache-tvm: pip install 'metanas[native]'")

from metanas.native import NativeArtifacts
from metanas.native.network import build_network_program
from metanas.native.targets import find_target
from metanas.spaces import ResNet12Space, VGG9Space
from metanas_agent.timer import TimerSettings

CROSS = ("armv6", "aarch64", "armv7")
SHAPE = (1, 28, 28)


@pytest.fixture(scope="module")
def vgg9():
    """Every activation and kernel; a map whose sides differ."""
    space = VGG9Space(input_shape=(3, 21, 26), ways=5, pool=2)
    text = "k3c16elu-k5c32sigmoid-k1c48selu-k3c16leakyrelu"
    return export_architecture(space, text)


@pytest.fixture(scope="module")
def resnet12():
    space = ResNet12Space(input_shape=(3, 19, 16), ways=5, pool=2)
    blocks = "k3c8relu-k1c16sigmoid-k3c16leakyrelu", "k3c16selu-k5c16relu6-k1c32elu"
    return export_architecture(space, "-".join(blocks))


@pytest.fixture(scope="module")
def small():
    return sampled_network("vgg9", 1, SHAPE, downsampling="strided")


@pytest.fixture(scope="module")
def artifact(small):
    return build_network_program(small, find_target("x86-64"))


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).standard_normal(SHAPE, np.float32)


def check_agreement(model, target_name, shape):
    images = np.random.default_rng(5).standard_normal(shape, np.float32)
    artifact = build_network_program(model, find_target(target_name))
    assert relative_difference(run_native(artifact, images), run_onnx(model, images)) <= 1e-4
    return artifact


@pytest.mark.parametrize("target_name", ["x86-64", *CROSS])
def test_vgg9_agrees_with_onnxruntime(vgg9, target_name):
    check_agreement(vgg9, target_name, (3, 21, 26))


@pytest.mark.parametrize("target_name", ["x86-64", "armv6", "aarch64"])
def test_resnet12_agrees_with_onnxruntime(resnet12, target_name):
    check_agreement(resnet12, target_name, (3, 19, 16))


def test_agent_runs_a_network_on_every_image(resnet12):
    shape = (3, 19, 16)
    images = np.random.default_rng(2).standard_normal((4, *shape), np.float32)
    with LocalAgent(runtime="native", artifacts=NativeArtifacts("x86-64")) as agent:
        run = agent.run_model(resnet12, images, TimerSettings(budget_ms=5, min_samples=6))
    assert run.latency.runtime == "native"
    expected = np.stack([run_onnx(resnet12, image) for image in images])
    assert relative_difference(run.outputs, expected) < 1e-5


def test_armv6_program_holds_nothing_newer_than_armv6_and_vfp2(vgg9):
    program = build_network_program(vgg9, find_target("armv6")).path
    attributes = arm_attributes(program)
    assert attributes["Tag_CPU_arch"].startswith("v6")
    assert "T2" not in attributes["Tag_CPU_arch"]
    assert attributes["Tag_FP_arch"] == "VFPv2"
    assert attributes.get("Tag_Advanced_SIMD_arch") is None
    assert is_static(program)
    newer = arm_attributes(build_network_program(vgg9, find_target("armv7")).path)
    assert "Tag_Advanced_SIMD_arch" in newer  # else these checks would see nothing


@pytest.mark.slow
@pytest.mark.parametrize("target_name", ["x86-64", *CROSS])
@pytest.mark.parametrize("space_name", ["vgg9", "resnet12"])
@pytest.mark.parametrize(
    ("seed", "shape", "downsampling"),
    [
        (0, (1, 28, 28), "pooled"),
        (1, (3, 84, 84), "pooled"),
        (2, (3, 33, 41), "strided"),
        (3, (1, 28, 28), "strided"),
        (4, (3, 32, 32), "pooled"),
    ],
)
def test_sampled_networks_agree_with_onnxruntime(
    space_name, seed, shape, downsampling, target_name
):
    model = sampled_network(space_name, seed, shape, downsampling=downsampling)
    check_agreement(model, target_name, shape)


class TestProgram:
    """What one program answers, on this machine."""

    @pytest.fixture
    def program(self, artifact):
        with NativeProgram(artifact.path) as program:
            yield program

    def give(self, program, image):
        program.send(b"input\n" + image.tobytes())
        return program.read_line()

    def test_says_what_it_is(self, program, artifact):
        assert program.title == f"metanas-native 1 network {artifact.target} 1 28 28 5"

    def test_wants_an_image_first(self, program):
        assert program.ask("run 1").startswith("error ")
        assert program.ask("output").startswith("error ")

    @pytest.mark.parametrize("line", ["", "layer empty 1 2 3", "inputs", "run", "input 3"])
    def test_unknown_command_is_an_error_and_the_program_goes_on(self, program, image, line):
        assert program.ask(line) == "error unknown command"
        assert self.give(program, image) == "ok"

    @pytest.mark.parametrize("count", ["0", "-1", "x", "1 2", "99999999999999999999"])
    def test_run_wants_a_number_of_calls(self, program, image, count):
        assert self.give(program, image) == "ok"
        assert program.ask(f"run {count}").startswith("error ")

    def test_runs_many_times_on_one_image(self, program, image, small):
        assert self.give(program, image) == "ok"
        expected = run_onnx(small, image)
        for count in (1, 7, 2):
            word, elapsed_ns = program.ask(f"run {count}").split()
            assert word == "ns"
            assert int(elapsed_ns) > 0
            assert relative_difference(program.ask_floats("output"), expected) < 1e-5

    def test_next_image_gives_the_next_output(self, program, image, small):
        for this in (image, -2 * image, np.zeros_like(image)):
            assert self.give(program, this) == "ok"
            program.ask("run 1")
            expected = run_onnx(small, this)
            assert relative_difference(program.ask_floats("output"), expected) < 1e-5

    def test_ends_when_its_input_ends_within_an_image(self, program, image):
        program.send(b"input\n" + image.tobytes()[:-1])
        assert program.end() == 0

    def test_quits(self, program):
        program.send(b"quit\n")
        assert program.end() == 0


class TestCache:
    def test_second_build_finds_the_first_without_tvm(self, small, artifact, tmp_path):
        file = tmp_path / "model.onnx"
        file.write_bytes(small)
        script = f"""
import pathlib, sys
from metanas.native import NativeArtifacts
print(NativeArtifacts("x86-64").for_model(pathlib.Path({str(file)!r}).read_bytes()))
assert "tvm" not in sys.modules and "torch" not in sys.modules
"""
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == str((artifact.sha256, artifact.path))

    def test_what_the_file_says_of_itself_does_not_matter(self, small):
        proto = onnx.load_model_from_string(small)
        proto.metadata_props[0].value = "something else"
        proto.doc_string = "another text"
        first, second = (
            NativeArtifacts("x86-64").for_model(model)
            for model in (small, proto.SerializeToString())
        )
        assert first == second

    def test_other_weights_are_another_program(self, small, artifact):
        proto = onnx.load_model_from_string(small)
        bias = next(tensor for tensor in proto.graph.initializer if len(tensor.dims) == 1)
        changed = onnx.numpy_helper.to_array(bias) + np.float32(1)
        bias.CopyFrom(onnx.numpy_helper.from_array(changed, bias.name))
        other = build_network_program(proto.SerializeToString(), find_target("x86-64"))
        assert other.sha256 != artifact.sha256

    def test_manifest_says_what_it_was_built_from(self, artifact):
        configuration = artifact.manifest["configuration"]
        assert configuration["kind"] == "network"
        assert configuration["target"] == find_target("x86-64").name
        assert configuration["tvm"].startswith("0.")
        assert configuration["toolchain"]["flags"]


@pytest.mark.parametrize(
    ("nodes", "settings"),
    [
        ([node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2), node("Add", "ab", "y")], {}),
        ([node("Abs", "x", "a"), node("Log", "a", "y")], {}),
        ([node("Erf", "x", "a"), node("Tanh", "a", "y")], {}),
        ([node("Softmax", "x", "y", axis=1)], {}),
        ([node("Identity", "x", "y")], {}),
        ([node("Concat", "xx", "y", axis=1)], {"shape": ("batch", 2, 4, 5)}),
        ([node("Transpose", "x", "y", perm=[0, 3, 1, 2])], {}),
    ],
    ids=["split", "logarithm", "error function", "softmax", "identity", "concat", "transpose"],
)
@pytest.mark.parametrize("target_name", ["x86-64", "armv6", "armv7"])
def test_other_operators_work_too(nodes, settings, target_name):
    model = onnx_file(nodes, **settings)
    check_agreement(model, target_name, (2, 4, 5))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (b"no model", "not an ONNX model"),
        (b"", "not an ONNX model"),
        (onnx_file([node("Nonsense", "x", "y")]), "not an ONNX model.*Nonsense"),
        (onnx_file([node("Add", ["x", "z"], "y")], inputs="xz"), "2 inputs and 1 outputs"),
        (onnx_file([node("Relu", "x", "y"), node("Relu", "x", "z")], outputs="yz"), "2 outputs"),
        (onnx_file([node("Relu", "x", "y")], shape=(3, 2, 4, 5)), "input is 3x2x4x5"),
        (onnx_file([node("Relu", "x", "y")], shape=(1, 2, "h", "w")), "input is 1x2xhxw"),
        (onnx_file([node("Relu", "x", "y")], shape=(1, 2, 4)), "input is 1x2x4"),
        (onnx_file([node("Abs", "x", "y")], dtype=TensorProto.INT32), "input is INT32"),
        (
            onnx_file([node("ArgMax", "x", "y", axis=1)], output_dtype=TensorProto.INT64),
            "output is int64",
        ),
        (onnx_file([node("Det", "x", "y")], shape=(1, 2, 4, 4)), "Det"),
        (onnx_file([node("Pow", "xx", "y")]), "powf"),
        (
            onnx_file(
                [node("NonZero", "x", "n"), node("Cast", "n", "y", to=TensorProto.FLOAT)],
            ),
            "nonzero",
        ),
    ],
    ids=[
        "rubbish",
        "empty",
        "unknown operator",
        "two inputs",
        "two outputs",
        "batch",
        "free size",
        "rank",
        "integers in",
        "integers out",
        "not imported",
        "no C library",
        "shape by value",
    ],
)
def test_what_cannot_be_built_is_one_clear_error(model, message):
    with pytest.raises(NativeBuildError, match=message) as raised:
        build_network_program(model, find_target("x86-64"))
    assert "\n" not in str(raised.value)


def test_without_tvm_the_message_says_what_to_install(small, monkeypatch):
    from importlib import metadata

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    with pytest.raises(NativeUnavailableError, match=r"pip install 'metanas\[native\]'"):
        build_network_program(small, find_target("x86-64"))
