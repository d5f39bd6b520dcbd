"""The runtime `native` with real programs: one that behaves, and many that do not."""

import gc
import hashlib
import os
import signal
from contextlib import suppress
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from metanas_agent.errors import MeasurementFailedError, RuntimeUnavailableError
from metanas_agent.layers import ACTIVATIONS, AddLayer, ConvLayer, EmptyLayer, HeadLayer
from metanas_agent.runtimes import Setup, load_runtime
from metanas_agent.runtimes.native import NativeRuntime
from metanas_agent.runtimes.program import Program
from metanas_agent.wire import Tensor
from support.agent_process import children, is_running
from support.naive_programs import NaivePrograms

SMALL = EmptyLayer(1, 2, 2)
LAYERS = [
    *(ConvLayer(3, 7, 6, out_channels=5, kernel=3, activation=a, pool=2) for a in ACTIVATIONS),
    ConvLayer(1, 28, 28, out_channels=16, kernel=5, stride=2, activation="none"),
    ConvLayer(2, 5, 9, out_channels=3, kernel=1, stride=3, pool=3),
    AddLayer(4, 5, 5, activation="leakyrelu", pool=2),
    HeadLayer(6, 11, 11, pool=5, ways=20),
    EmptyLayer(2, 3, 4),
]
ACTIVATION = {
    "relu": F.relu,
    "elu": F.elu,
    "selu": F.selu,
    "sigmoid": F.sigmoid,
    "relu6": F.relu6,
    "leakyrelu": F.leaky_relu,
    "none": lambda x: x,
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    return NaivePrograms(tmp_path_factory.mktemp("programs"))


def native(path):
    return load_runtime("native", Setup(artifact=path))


def values(program, command, shape):
    data = program.ask_bytes(command, 4 * prod(shape))
    return torch.from_numpy(np.frombuffer(data, "<f4").reshape(shape).copy())


def in_torch(layer, image, weights):
    x = image[None]
    match layer:
        case ConvLayer():
            kernel, bias = weights[: -layer.out_channels], weights[-layer.out_channels :]
            kernel = kernel.reshape(layer.out_channels, layer.in_channels, *[layer.kernel] * 2)
            x = F.conv2d(x, kernel, bias, stride=layer.stride, padding=layer.kernel // 2)
        case AddLayer():
            x = x + weights.reshape(layer.input_shape)
        case HeadLayer():
            x = F.avg_pool2d(x, layer.pool_window, layer.pool_stride).flatten(1)
            matrix, bias = weights[: -layer.ways], weights[-layer.ways :]
            return F.linear(x, matrix.reshape(layer.ways, -1), bias)[0]
        case EmptyLayer():
            return image
    return F.max_pool2d(ACTIVATION[layer.activation](x), layer.pool, ceil_mode=True)[0]


def weight_count(layer):
    match layer:
        case ConvLayer():
            return layer.out_channels * (layer.in_channels * layer.kernel**2 + 1)
        case AddLayer():
            return prod(layer.input_shape)
        case _:
            return layer.params


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_a_program_is_asked_for_the_layer_that_is_meant(programs, layer, monkeypatch):
    started = []
    start = NativeRuntime._start
    monkeypatch.setattr(
        NativeRuntime, "_start", lambda *a: started.append(start(*a)) or started[-1]
    )
    sampler = native(programs("layers")).prepare(layer, seed=2**40 + 3)
    assert sampler(2) >= 0
    (program,) = started
    image = values(program, "input", layer.input_shape)
    weights = values(program, "weights", (weight_count(layer),))
    output = values(program, "output", layer.output_shape)
    torch.testing.assert_close(output, in_torch(layer, image, weights), rtol=1e-4, atol=1e-5)


def test_the_program_is_told_how_often_and_believed_how_long(programs):
    sampler = native(programs("counts")).prepare(SMALL, seed=0)
    assert [sampler(1), sampler(700)] == [1e-6, 700e-6]


def test_the_version_tells_programs_apart(programs, tmp_path):
    path = tmp_path / hashlib.sha256(b"a program").hexdigest()
    path.hardlink_to(programs("layers"))
    runtime = native(path)
    assert runtime.version == "1"
    runtime.prepare(SMALL, seed=0)
    assert runtime.version == f"1 test {path.name[:12]}"


def test_a_layer_that_is_let_go_leaves_no_process(programs):
    runtime = native(programs("layers"))
    sampler = runtime.prepare(SMALL, seed=0)
    before = set(children(os.getpid()))
    other = runtime.prepare(SMALL, seed=0)
    (process,) = set(children(os.getpid())) - before
    del other
    gc.collect()
    assert not is_running(process)
    assert sampler(1) >= 0


def test_the_sentinel_is_like_what_is_measured(programs):
    for name in ("layers", "network"):
        sentinel = native(programs(name)).sentinel()
        assert sentinel(20) > 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mute", "the program died: exit code 0"),
        ("greets-wrong", "the program answered rubbish: 'hello'"),
        ("newer", "the program speaks harness protocol 2, this agent speaks 1"),
        ("traps", "the program died: SIGILL .it was built for another processor"),
        ("exits", "the program died: exit code 3"),
        ("rubbish", "the program answered rubbish: 'Hello, world!'"),
        ("bytes", r"the program answered rubbish: b'\\xff\\xfe"),
        ("flood", r"the program answered rubbish: b'x{80}'\.\.\."),
        ("negative", "the program answered rubbish: 'ns -5'"),
        ("wordy", "the program answered rubbish: 'ns 12 and more'"),
        ("liar", "the program answered rubbish: a run of 86400000.000 ms"),
        ("deaf", "the program fell silent"),
        ("hoards", "the program (cannot run 1: out of memory|died: SIGKILL)"),
        ("writes", "the program died: SIGXFSZ"),
        ("curious", "the program cannot run 1: no HOME, QEMU_TEST"),
    ],
)
def test_a_program_that_misbehaves_is_an_answer(programs, name, words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QEMU_TEST", "of the emulator")
    monkeypatch.setattr(
        "metanas_agent.system.System.available_memory_bytes", lambda _: 64 * 1024**2
    )
    before = children(os.getpid())
    with pytest.raises(MeasurementFailedError, match=f"^{words}"):
        native(programs(name)).prepare(SMALL, seed=0)(1)
    gc.collect()
    assert children(os.getpid()) == before


def test_a_program_that_speaks_without_being_asked_is_not_believed(programs):
    sampler = native(programs("chatty")).prepare(SMALL, seed=0)
    assert sampler(1) == 1e-6
    with pytest.raises(MeasurementFailedError, match="answered rubbish: b'ns "):
        sampler(1)


def test_a_program_that_is_killed_says_that_memory_ran_out(programs):
    program = Program(programs("layers"))
    os.kill(children(os.getpid())[-1], signal.SIGKILL)
    with pytest.raises(MeasurementFailedError, match="died: SIGKILL") as failure:
        program.ask("run 1", answer="ns")
    assert failure.value.hint.startswith("most likely out of memory")


def test_too_many_or_too_few_bytes_are_refused(programs):
    program = Program(programs("layers"))
    program.ask("layer empty 1 2 2", answer="ok")
    with pytest.raises(MeasurementFailedError, match="answered 16 bytes of output, not 20"):
        program.ask_bytes("output", 20)


def test_what_the_program_cannot_is_said(programs):
    program = Program(programs("layers"))
    with pytest.raises(MeasurementFailedError, match="cannot dance: unknown command"):
        program.ask("dance", answer="ok")
    assert program.ask("layer empty 1 2 2", answer="ok") == ""


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200)
    | st.builds(bytes.__add__, st.sampled_from([b"ok", b"ok ", b"ns ", b"bytes 4\n"]), st.binary())
    | st.builds(lambda line, times: line * times, st.binary(min_size=1, max_size=9), st.just(999))
)
def test_nothing_that_a_program_says_does_harm(tmp_path, answers):
    (tmp_path / "answers").write_bytes(answers)
    script = tmp_path / "program"
    script.write_text(
        f"#!/bin/sh\necho metanas-native 1 layers test\nread line\n/bin/cat {tmp_path}/answers\n"
    )
    script.chmod(0o700)
    program = Program(script)
    for ask in (
        lambda: program.ask("layer", answer="ok"),
        lambda: program.ask_number("run 1", answer="ns"),
        lambda: program.ask_bytes("output", 4),
    ):
        with suppress(MeasurementFailedError):
            answer = ask()
            raw = answer if isinstance(answer, bytes) else str(answer).encode("ascii")
            assert raw in answers or raw.lstrip(b"0") in answers
    program.close()


@pytest.mark.parametrize("content", [b"\x7fELF of another processor", b""])
def test_what_is_no_program_is_said(tmp_path, content):
    path = tmp_path / "program"
    path.write_bytes(content)
    path.chmod(0o700)
    with pytest.raises(MeasurementFailedError, match="cannot start the program: Exec format error"):
        Program(path)


def test_a_program_that_is_gone_is_said(tmp_path):
    with pytest.raises(MeasurementFailedError, match="cannot start the program: No such file"):
        Program(tmp_path / "program")


def test_without_a_program_there_is_nothing_to_run():
    with pytest.raises(RuntimeUnavailableError, match="needs a program"):
        load_runtime("native").prepare(SMALL, seed=0)


def test_there_is_no_native_accelerator():
    with pytest.raises(RuntimeUnavailableError, match="on the CPU, not 1 on cuda"):
        load_runtime("native", Setup(accelerator="cuda"))


def test_a_network_computes_one_image_after_the_other(programs):
    images = np.random.default_rng(0).standard_normal((3, 2, 3, 3), np.float32)
    model = native(programs("network")).load(b"")
    inputs = Tensor(images.tobytes(), images.shape)
    outputs = model.run(inputs)
    assert outputs.shape == (3, 4)
    weights = np.array([[(o + i) % 5 - 2 for i in range(18)] for o in range(4)], np.float32)
    np.testing.assert_allclose(
        np.frombuffer(outputs.data, "<f4").reshape(3, 4), images.reshape(3, -1) @ weights.T, 1e-4
    )
    sampler = model.prepare(inputs)
    assert sampler(1000) > 0
    assert 0 < model.peak_memory_bytes() < 10_000_000  # of the program, not of this process


@pytest.mark.parametrize("shape", [(1, 2, 3, 4), (1, 18), (1, 2, 3, 3, 1)])
def test_images_of_another_size_are_refused(programs, shape):
    model = native(programs("network")).load(b"")
    with pytest.raises(MeasurementFailedError, match=r"takes images of \[2, 3, 3\]"):
        model.run(Tensor(bytes(4 * prod(shape)), shape))


def test_programs_are_not_mixed_up(programs):
    with pytest.raises(MeasurementFailedError, match="runs layers, not network"):
        native(programs("layers")).load(b"")
    with pytest.raises(MeasurementFailedError, match="runs network, not layers"):
        native(programs("network")).prepare(SMALL, seed=0)
    with pytest.raises(MeasurementFailedError, match="not ONNX models"):
        native(programs("network")).load(b"an ONNX model")
