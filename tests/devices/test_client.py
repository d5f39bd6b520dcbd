"""The host's side of the protocol, against real agents and against peers that are none."""

import socket
import threading
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, takewhile

import numpy as np
import pytest

from metanas.devices import AgentDevice, TcpEndpoint
from metanas.errors import (
    AgentUnreachableError,
    DeviceBusyError,
    FrameTooLargeError,
    MeasurementFailedError,
    ProtocolError,
    VersionMismatchError,
)
from metanas_agent.layers import ConvLayer, EmptyLayer
from metanas_agent.measurement import Measurement
from metanas_agent.message import Message
from metanas_agent.messages import Alive, Describe, Done, Error, Result, Row, Welcome
from metanas_agent.protocol import VERSION, encode, read_message
from metanas_agent.timer import TimerSettings
from metanas_agent.wire import Tensor
from support import recorded
from support.agent_process import AgentProcess

QUICK = TimerSettings(budget_ms=2.0, min_samples=6, interval=0.5, sample_ms=0.05)
LAYERS = [EmptyLayer(1, 1, 1), ConvLayer(1, 4, 4, out_channels=2, kernel=3)]
WELCOME = Welcome(version=VERSION, program="test", limit_s=5.0, lease_s=5.0)
HANG_UP = object()
ROW = Measurement(
    key=LAYERS[0].key,
    median_ms=1.0,
    low_ms=1.0,
    high_ms=1.0,
    p10_ms=1.0,
    p90_ms=1.0,
    samples=11,
    repeats=1,
    source="measured",
    runtime="onnx",
    runtime_version="1",
)


@pytest.fixture(scope="module")
def agent():
    with AgentProcess("--runtime", "onnx") as agent:
        yield agent


@pytest.fixture
def device(agent):
    with AgentDevice("board", agent.endpoint) as device:
        yield device


@contextmanager
def listener(*frames):
    """Answers each message with the next frame (a message or raw bytes), then hangs up.

    `HANG_UP` in between makes it wait for another connection.
    """

    def answer():
        rest = iter(frames)
        for frame in rest:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as stream:
                converse(
                    connection,
                    stream,
                    chain([frame], takewhile(lambda frame: frame is not HANG_UP, rest)),
                )

    def converse(connection, stream, frames):
        major = 1
        for frame in frames:
            while isinstance(message := read_message(stream, major=major), Alive):
                pass
            if message is None:
                return
            sent = encode(frame, major=major) if isinstance(frame, Message) else frame
            connection.sendall(sent)
            if isinstance(frame, Welcome):
                major = frame.version[0]

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        yield server.getsockname()[1]
        thread.join(30)
        assert not thread.is_alive()


def test_two_hosts_cannot_measure_at_once(agent, device):
    rows = device.measure([LAYERS[0]] * 10_000, QUICK)
    next(rows)
    with AgentDevice("same", agent.endpoint) as other:
        with pytest.raises(
            DeviceBusyError, match=rf"a job of {socket.gethostname()} has been running"
        ):
            list(other.measure(LAYERS, QUICK))
        rows.close()
        assert len(list(other.measure(LAYERS, QUICK))) == len(LAYERS)


def test_one_program_cannot_measure_twice_at_once(device):
    rows = device.measure([LAYERS[0]] * 100, QUICK)
    next(rows)
    with pytest.raises(DeviceBusyError, match="finish or close"):
        next(device.measure(LAYERS, QUICK))
    with pytest.raises(DeviceBusyError, match="finish or close"):
        device.describe()
    assert len(list(rows)) == 99


def test_a_failed_layer_leaves_the_device_usable(device):
    huge = ConvLayer(10**6, 10**3, 10**3, out_channels=1, kernel=1)
    rows = device.measure([LAYERS[0], huge], QUICK)
    assert next(rows).key == LAYERS[0].key
    with pytest.raises(MeasurementFailedError, match="bytes of memory"):
        next(rows)
    assert len(list(device.measure(LAYERS, QUICK))) == len(LAYERS)


def test_ctrl_c_in_a_sweep_stops_the_job(agent, device):
    rows = device.measure([LAYERS[0]] * 10_000, QUICK)
    next(rows)
    with pytest.raises(KeyboardInterrupt):
        rows.throw(KeyboardInterrupt)
    with AgentDevice("same", agent.endpoint) as other:
        while True:  # the agent needs a moment to notice
            try:
                assert list(other.measure(LAYERS, QUICK))
                break
            except DeviceBusyError:
                continue


def test_too_many_images_for_a_frame_are_refused_before_sending(device):
    images = np.zeros((5, 1, 2000, 2000), np.float32)
    with pytest.raises(FrameTooLargeError, match="fewer images"):
        device.run_model(b"", images, QUICK)
    assert list(device.measure(LAYERS, QUICK))


def test_nobody_there_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(AgentUnreachableError, match=f"no agent answers at 127.0.0.1:{port}"):
        AgentDevice("board", TcpEndpoint("127.0.0.1", port))


def test_a_name_that_does_not_resolve_is_unreachable():
    with pytest.raises(AgentUnreachableError, match="no agent answers"):
        AgentDevice("board", TcpEndpoint("no-such-host.invalid", 7431))


def test_an_agent_of_the_last_major_version_is_spoken_with():
    """It refuses our first hello, and understands the second."""
    frames = (
        *(recorded.REFUSAL, HANG_UP, recorded.WELCOME),
        *(recorded.DESCRIPTION, recorded.ROW + recorded.DONE),
    )
    with (
        listener(*frames) as port,
        AgentDevice("board", TcpEndpoint("127.0.0.1", port)) as device,
    ):
        assert device.describe().processor == "AMD EPYC"
        (row,) = device.measure([EmptyLayer(1, 2, 3)], QUICK)
        assert row.runtime_version == "1.31.1"


def test_what_an_older_agent_does_not_know_is_not_asked():
    with (
        listener(recorded.REFUSAL, HANG_UP, recorded.WELCOME) as port,
        AgentDevice("board", TcpEndpoint("127.0.0.1", port)) as device,
        pytest.raises(ProtocolError, match="status message needs protocol 2"),
    ):
        device.status()


@pytest.mark.parametrize("major", [0, VERSION[0] + 1])
def test_an_agent_of_another_major_version_is_refused(major):
    welcome = replace(WELCOME, version=(major, 4))
    with (
        listener(welcome, HANG_UP, welcome) as port,
        pytest.raises(VersionMismatchError, match=f"speaks {major}.4"),
    ):
        AgentDevice("board", TcpEndpoint("127.0.0.1", port))


def test_an_agent_that_refuses_both_our_versions_is_understood():
    first = Error(code="version-mismatch", what="we speak 4.0", hint="upgrade the host")
    second = replace(first, what="we speak 4.0, really")
    with (
        listener(first, HANG_UP, second) as port,
        pytest.raises(VersionMismatchError, match=r"4\.0 \(upgrade the host\)"),
    ):
        AgentDevice("board", TcpEndpoint("127.0.0.1", port))


def test_an_error_cannot_command_the_terminal():
    error = Error(code="protocol", what="\x1b[2Jgone", hint="\r\n")
    with listener(error) as port, pytest.raises(ProtocolError) as caught:
        AgentDevice("board", TcpEndpoint("127.0.0.1", port))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\2\xc1\xc1", Done()]
)
def test_what_is_no_agent_is_refused(answer):
    with listener(answer) as port, pytest.raises(ProtocolError):
        AgentDevice("board", TcpEndpoint("127.0.0.1", port))


@pytest.mark.parametrize("answer", [b"", b"\0\0", b"\0\0\0\7half"])
def test_an_agent_that_hangs_up_is_unreachable(answer):
    with listener(answer) as port, pytest.raises(AgentUnreachableError, match="lost the agent"):
        AgentDevice("board", TcpEndpoint("127.0.0.1", port))


@pytest.mark.parametrize(
    "answer",
    [
        Row(measurement=replace(ROW, key=LAYERS[1].key)),
        Row(measurement=replace(ROW, source="simulated")),
        Done(),
        Describe(),
        b"\0\0\0\1\0\0\0\0\xc1",
        encode(Row(measurement=ROW))[:-1] + b"\0",
        encode(Row(measurement=ROW)) * 2,
    ],
)
def test_rows_that_were_not_asked_for_are_refused(answer):
    with (
        listener(WELCOME, answer) as port,
        AgentDevice("b", TcpEndpoint("127.0.0.1", port)) as device,
    ):
        with pytest.raises(ProtocolError):
            list(device.measure(LAYERS, QUICK))
        with pytest.raises(AgentUnreachableError):  # the stream cannot be trusted any more
            list(device.measure(LAYERS, QUICK))


def test_outputs_that_do_not_belong_to_the_images_are_refused():
    result = Result(outputs=Tensor(b"\0" * 8, (2, 1)), latency=ROW, peak_memory_bytes=None)
    images = np.zeros((3, 1, 1, 1), np.float32)
    with (
        listener(WELCOME, result) as port,
        AgentDevice("b", TcpEndpoint("127.0.0.1", port)) as device,
        pytest.raises(ProtocolError, match="2 outputs for 3 images"),
    ):
        device.run_model(b"", images, QUICK)
