"""The program that times any layer: its outputs against ONNX Runtime's, and its protocol."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("tvm", reason="needs apache-tvm: pip install 'metanas[native]'")

import tvm
from tvm.support.cc import get_cc

from metanas.errors import UnknownTargetError
from metanas.native import Artifact, KernelSet, build_layer_program, find_target, toolchain
from metanas.native.kernels import activate_all
from metanas.native.targets import Target
from metanas.spaces import make_space
from metanas_agent.layers import ACTIVATIONS, AddLayer, ConvLayer, EmptyLayer, HeadLayer, LayerSpec
from support.arm_code import arm_attributes, is_static, newer_than_armv6
from support.layer_reference import check_layer
from support.native_program import NativeProgram
from support.reference_activations import activated

KERNEL_SETS = {
    "x86-64": KernelSet(kernels=(1, 3, 5)),
    "armv6": KernelSet(),
    "aarch64": KernelSet(kernels=(3,)),
    "armv7": KernelSet(kernels=(3,)),
}
EVERY_TARGET = ("x86-64", "armv6", "aarch64", "armv7")

SMALL_LAYERS = (
    *(ConvLayer(3, 9, 14, 17, 3, 1, activation, 2) for activation in ("none", *ACTIVATIONS)),
    *(ConvLayer(5, 7, 13, 16, 3, stride, "relu", pool) for stride in (1, 2) for pool in (1, 2, 3)),
    *(ConvLayer(33, 3, width, 4, 3, 1, "none") for width in (1, 2, 3, 4, 5, 7, 11)),
    ConvLayer(1, 1, 1, 1, 3, 2, "selu", 2),
    ConvLayer(2, 27, 29, 66, 3, 1, "relu", 2),  # of many strips, the last one shorter
    *(ConvLayer(1, 8, 6, 9, 3, 1, activation, 2) for activation in ("none", *ACTIVATIONS)),
    *(
        ConvLayer(1, *sides, 6, 3, 1, "elu", 2)
        for sides in ((27, 29), (4, 7), (7, 4), (1, 2), (2, 1))
    ),
    *(ConvLayer(1, 9, 8, 5, 3, stride, "elu", pool) for stride in (1, 2) for pool in (1, 2, 3)),
    *(AddLayer(5, 7, 9, activation, 2) for activation in ("none", *ACTIVATIONS)),
    *(AddLayer(3, 1, 33, "none", pool) for pool in (1, 2, 3, 50)),
    HeadLayer(20, 11, 9, pool=5, ways=5),
    HeadLayer(16, 5, 5, pool=5, ways=3),
    HeadLayer(7, 2, 3, pool=1, ways=20),
    EmptyLayer(3, 4, 5),
)


def start(artifact: Artifact, target: Target) -> NativeProgram:
    if target.emulator and shutil.which(target.emulator[0]) is None:
        pytest.skip(f"needs {target.emulator[0]}: apt install qemu-user-static")
    return NativeProgram(artifact.path, target.emulator)


@pytest.fixture(scope="module")
def x86() -> Iterator[NativeProgram]:
    target = find_target("x86-64")
    with start(build_layer_program(target, KERNEL_SETS["x86-64"]), target) as program:
        yield program


@pytest.mark.parametrize("name", EVERY_TARGET)
def test_outputs_are_those_of_onnxruntime_on_every_target(name: str) -> None:
    target = find_target(name)
    with start(build_layer_program(target, KERNEL_SETS[name]), target) as program:
        assert program.title == f"metanas-native 1 layers {target.name}"
        for layer in SMALL_LAYERS:
            check_layer(program, layer)
        assert program.end() == 0


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("pool", [1, 2, 3])
def test_kernels_strides_and_pools(x86: NativeProgram, kernel: int, stride: int, pool: int) -> None:
    for channels, height, width in ((1, 28, 28), (16, 7, 7), (3, 21, 5), (48, 4, 2), (130, 6, 6)):
        for out_channels in (5, 16, 144):
            check_layer(
                x86,
                ConvLayer(channels, height, width, out_channels, kernel, stride, "none", pool),
            )


def test_sums_of_many_values(x86: NativeProgram) -> None:
    check_layer(x86, ConvLayer(512, 6, 6, 16, 5, 1, "none"))


@pytest.mark.parametrize("name", ["x86-64", "armv6"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_of_any_value(activation: str, name: str) -> None:
    """Those in vectors, and those in C for a processor without, compiled for this one."""
    target = find_target(name)
    if target.generates_c and get_cc() is None:
        pytest.skip("needs a C compiler for this machine: apt install gcc")
    sizes = (0, 86.9, 87.1, 100, 1e3, 1e9, 1e30, np.inf)
    extremes = [sign * size for sign in (-1, 1) for size in sizes]
    near, far = np.linspace(-20, 20, 5120), np.linspace(-120, 120, 1024 - len(extremes))
    kernel = activate_all(activation, target).with_attr("global_symbol", "activate")
    width = int(kernel.params[0].shape[-1])
    values = np.array([*extremes, *near, *far], np.float32).reshape(-1, width)
    module = tvm.compile(tvm.IRModule({"activate": kernel}), target=tvm.target.Target(target.tvm))
    result = tvm.runtime.empty(values.shape, "float32")
    module["activate"](tvm.runtime.tensor(values), result)
    wanted = activated(activation, values.astype(np.float64))
    np.testing.assert_allclose(result.numpy(), wanted, rtol=1e-6, atol=2.5e-7)


def test_maps_larger_than_a_strip(x86: NativeProgram) -> None:
    for layer in (
        ConvLayer(3, 84, 84, 144, 5, 1, "elu", 2),
        ConvLayer(3, 83, 85, 64, 1, 1, "relu6", 2),
        ConvLayer(3, 97, 61, 144, 3, 2, "none", 3),
    ):
        check_layer(x86, layer)


@settings(max_examples=60, deadline=None)
@given(
    layer=st.builds(
        ConvLayer,
        *(st.integers(1, 40), st.integers(1, 30), st.integers(1, 30)),
        out_channels=st.integers(1, 80),
        kernel=st.sampled_from((1, 3, 5)),
        stride=st.sampled_from((1, 2)),
        activation=st.sampled_from(("none", *ACTIVATIONS)),
        pool=st.integers(1, 4),
    ),
    seed=st.integers(0, 2**31 - 1),
)
def test_any_convolution(x86: NativeProgram, layer: ConvLayer, seed: int) -> None:
    check_layer(x86, layer, seed=seed)


@settings(max_examples=40, deadline=None)
@given(
    st.builds(
        AddLayer,
        *(st.integers(1, 40), st.integers(1, 30), st.integers(1, 30)),
        activation=st.sampled_from(("none", *ACTIVATIONS)),
        pool=st.integers(1, 4),
    )
)
def test_any_addition(x86: NativeProgram, layer: AddLayer) -> None:
    check_layer(x86, layer)


@settings(max_examples=30, deadline=None)
@given(
    channels=st.integers(1, 70),
    sides=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    ways=st.integers(1, 30),
    data=st.data(),
)
def test_any_head(
    x86: NativeProgram, channels: int, sides: tuple[int, int], ways: int, data: st.DataObject
) -> None:
    pool = data.draw(st.integers(1, min(sides)))
    check_layer(x86, HeadLayer(channels, *sides, pool=pool, ways=ways))


def test_a_seed_is_one_layer(x86: NativeProgram) -> None:
    layer = ConvLayer(3, 8, 8, 16, 3)

    def values(seed: int) -> tuple[bytes, ...]:
        assert x86.prepare(layer, seed=seed) == "ok"
        x86.ask("run 1")
        return tuple(x86.ask_floats(name).tobytes() for name in ("input", "weights", "output"))

    first = values(7)
    assert values(7) == first
    assert not set(values(8)) & set(first)


def test_values_are_spread_over_their_range(x86: NativeProgram) -> None:
    assert x86.prepare(ConvLayer(64, 28, 28, 64, 3)) == "ok"
    image, weights = x86.ask_floats("input"), x86.ask_floats("weights")
    bound = (6 / (64 * 9)) ** 0.5
    for values, limit in ((image, 1.0), (weights[:-64], bound), (weights[-64:], 0.1)):
        assert -limit <= values.min() < -0.9 * limit
        assert 0.9 * limit < values.max() <= limit
    assert abs(float(np.mean(image))) < 0.02


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "error unknown command"),
        ("Quit", "error unknown command"),
        ("layers conv", "error unknown command"),
        ("run", "error unknown command"),
        ("run 0", "error run takes a number of calls"),
        ("run -1", "error run takes a number of calls"),
        ("run 1x", "error run takes a number of calls"),
        ("run 1 1", "error run takes a number of calls"),
        ("run 99999999999999999999", "error run takes a number of calls"),
        ("layer pool 1 2 3", "error no such kind of layer"),
        ("layer conv 3 8 8 16 3 1 relu 1", "error layer conv takes CI H W CO K S ACTIVATION"),
        ("layer conv 3 8 8 16 3 1 relu 1 5 6", "error layer conv takes"),
        ("layer conv 3 8 0 16 3 1 relu 1 5", "error layer conv takes"),
        ("layer conv 3 8 8 16 3 1 gelu 1 5", "error this program has no such activation"),
        ("layer conv 3 8 8 16 3 1 rel 1 5", "error this program has no such activation"),
        ("layer conv 3 8 8 16 9 1 relu 1 5", "error this program has no kernel"),
        ("layer conv 3 8 8 16 3 3 relu 1 5", "error this program has no kernel"),
        ("layer conv 99999 9999 9999 16 3 1 relu 1 5", "error the layer is too large"),
        ("layer conv 1048576 1 1 1048576 1 1 relu 1 5", "error the layer is too large"),
        ("layer conv 1048577 1 1 1 1 1 relu 1 5", "error layer conv takes"),
        ("layer add 3 8 8 relu 1", "error layer add takes C H W ACTIVATION POOL SEED"),
        ("layer add 3 8 8 gelu 1 5", "error this program has no such activation"),
        ("layer add 1048576 8 1048576 relu 1 5", "error the layer is too large"),
        (f"layer add 3 8 8 {'x' * 20} 1 5", "error layer add takes"),
        ("layer head 3 8 8 9 5 1", "error the head's map is larger than its input"),
        ("layer head 3 8 8 1 5", "error layer head takes C H W N WAYS SEED"),
        ("layer head 1048576 1048576 1 1 5 1", "error the layer is too large"),
        ("layer empty 3 8", "error layer empty takes C H W"),
        ("layer empty 1048576 1048576 1048576", "error the layer is too large"),
        ("x" * 1000, "error unknown command"),
    ],
)
def test_lines_that_make_no_sense(x86: NativeProgram, line: str, problem: str) -> None:
    assert x86.prepare(EmptyLayer(1, 1, 1)) == "ok"
    assert x86.ask(line).startswith(problem)
    check_layer(x86, ConvLayer(3, 8, 8, 16, 3))


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=400),
        st.lists(
            st.sampled_from("layer conv add head empty run input 1 0 7 relu -3 9999999999".split()),
            max_size=12,
        ).map(lambda words: " ".join(words).encode()),
    ).filter(lambda line: b"\n" not in line and line != b"quit")
)
@example(b"layer head 1 1 1 1 1 0\0")
def test_any_line_is_answered_and_harms_nothing(x86: NativeProgram, line: bytes) -> None:
    assert x86.prepare(EmptyLayer(2, 1, 3)) == "ok"
    x86.send(line + b"\n")
    answer = x86.read_line()
    if answer.startswith("bytes "):
        x86.read(int(answer.removeprefix("bytes ")))
    else:
        assert answer.startswith(("ok", "ns ", "error "))
    check_layer(x86, ConvLayer(1, 2, 2, 1, 3))


@pytest.mark.parametrize("line", ["run 1", "output", "weights", "input"])
def test_nothing_is_there_before_a_layer(x86: NativeProgram, line: str) -> None:
    assert x86.ask("layer conv nonsense").startswith("error ")  # takes the layer before away
    assert x86.ask(line).startswith("error no")


def test_quit_and_end_of_input_end_the_program() -> None:
    target = find_target("x86-64")
    artifact = build_layer_program(target, KERNEL_SETS["x86-64"])
    with start(artifact, target) as program:
        assert program.end() == 0
    with start(artifact, target) as program:
        program.send(b"quit\n")
        assert program.end() == 0


def test_armv6_program_needs_nothing_newer_than_armv6_and_vfp2() -> None:
    program = build_layer_program(find_target("armv6")).path
    attributes = arm_attributes(program)
    assert attributes["Tag_CPU_arch"].startswith("v6")
    assert "T2" not in attributes["Tag_CPU_arch"]
    assert attributes["Tag_FP_arch"] == "VFPv2"
    assert "Tag_Advanced_SIMD_arch" not in attributes
    assert is_static(program)


def test_a_processor_without_the_instructions_is_killed_at_once() -> None:
    """So the emulator does tell the ARMv6 program from one that a Pi Zero cannot run."""
    target = find_target("armv7")
    newer = build_layer_program(target, KERNEL_SETS["armv7"])
    emulator = find_target("armv6").emulator
    if shutil.which(emulator[0]) is None:
        pytest.skip(f"needs {emulator[0]}: apt install qemu-user-static")
    done = subprocess.run(
        [*emulator, str(newer.path)],
        input=b"layer conv 3 8 8 16 3 1 relu 1 5\nrun 1\n",
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGILL
    assert b"ns " not in done.stdout


@pytest.mark.slow
def test_armv6_program_disassembles_to_armv6(monkeypatch: pytest.MonkeyPatch) -> None:
    with_symbols = tuple(flag for flag in toolchain.COMMON_FLAGS if flag != "-s")
    monkeypatch.setattr(toolchain, "COMMON_FLAGS", with_symbols)
    assert newer_than_armv6(build_layer_program(find_target("armv6")).path) == []
    newer = build_layer_program(find_target("armv7"), KERNEL_SETS["armv7"])
    assert newer_than_armv6(newer.path)  # else the check would see nothing


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x86-64-v3", "x86-64-v2"])
def test_older_x86_processors(name: str) -> None:
    target = find_target(name)
    with start(build_layer_program(target, KernelSet(kernels=(3,))), target) as program:
        for layer in SMALL_LAYERS:
            check_layer(program, layer)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY_TARGET)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 84, 84)])
@pytest.mark.parametrize("space", ["vgg9", "resnet12"])
def test_the_real_program_serves_the_whole_space(
    name: str, shape: tuple[int, int, int], space: str
) -> None:
    target = find_target(name)
    layers: list[LayerSpec] = [
        layer
        for downsampling in ("pooled", "strided")
        for layer in make_space(
            space, input_shape=shape, ways=5, downsampling=downsampling
        ).all_layers
    ]
    emulated = bool(target.emulator)
    with start(build_layer_program(target), target) as program:
        for layer in layers[:: 5 if emulated else 1]:
            assert program.prepare(layer) == "ok", layer
        cheap = [layer for layer in layers if layer.macs < 3_000_000]
        for layer in cheap[:: len(cheap) // (10 if emulated else 60)]:
            check_layer(program, layer)


def test_unknown_targets_are_named() -> None:
    with pytest.raises(UnknownTargetError, match=r"no native target 'pi9'.*armv6"):
        find_target("pi9")
