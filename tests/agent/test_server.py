"""The server over real sockets, with real workers, from a peer that may be anything but polite."""

import os
import signal
import socket
import zlib
from contextlib import ExitStack, suppress

import pytest

from metanas_agent.layers import ACTIVATIONS, ConvLayer, EmptyLayer, HeadLayer
from metanas_agent.messages import (
    Busy,
    Cancel,
    Describe,
    Description,
    Done,
    Error,
    Measure,
    Row,
    RunModel,
    Status,
    StatusReply,
    Welcome,
)
from metanas_agent.protocol import HELLO_LIMIT_BYTES, VERSION, encode, read_message
from metanas_agent.server import MOST_CONNECTIONS
from metanas_agent.timer import TimerSettings
from metanas_agent.wire import Tensor
from support import recorded
from support.agent_process import AgentProcess, children, is_running, raw_connection, wait_for

QUICK = TimerSettings(budget_ms=2.0, min_samples=6, interval=0.5, sample_ms=0.05)
ENDLESS = TimerSettings(budget_ms=600_000.0, interval=1e-6)
LAYERS = (
    *(ConvLayer(3, 9, 9, out_channels=4, kernel=3, activation=a, pool=2) for a in ACTIVATIONS),
    HeadLayer(8, 7, 7, pool=3, ways=5),
    EmptyLayer(4, 4, 4),
)


@pytest.fixture(scope="module")
def agent():
    with AgentProcess("--limit-s", "60", "--runtime", "onnx") as agent:
        yield agent


@pytest.fixture
def peer(agent):
    with raw_connection(agent.port) as peer:
        assert isinstance(peer.greet(), Welcome)
        yield peer


def measure(peer, layers=LAYERS, settings=QUICK, runtime="onnx"):
    peer.send(Measure(layers=tuple(layers), settings=settings, runtime=runtime))


def next_that_is_no_row(peer):
    while isinstance(message := peer.receive(), Row):
        pass
    return message


def cancel(peer):
    peer.send(Cancel())
    assert isinstance(next_that_is_no_row(peer), Done)


def assert_still_serves(port):
    with raw_connection(port) as peer:
        peer.greet()
        measure(peer, LAYERS[:1])
        assert isinstance(peer.receive(), Row)
        assert isinstance(peer.receive(), Done)


def test_rows_come_in_order_then_done(peer):
    measure(peer)
    rows = [peer.receive() for _ in LAYERS]
    assert [row.measurement.key for row in rows] == [layer.key for layer in LAYERS]
    assert all(row.measurement.median_ms > 0 for row in rows)
    assert isinstance(peer.receive(), Done)


def test_a_job_without_layers_is_done_at_once(peer):
    measure(peer, ())
    assert isinstance(peer.receive(), Done)


def test_one_connection_serves_many_requests(peer):
    for _ in range(2):
        peer.send(Describe())
        assert isinstance(peer.receive(), Description)
        measure(peer, LAYERS[:1])
        assert isinstance(peer.receive(), Row)
        assert isinstance(peer.receive(), Done)


def test_cancel_stops_the_job_and_its_worker(agent, peer):
    measure(peer, settings=ENDLESS)
    worker = agent.worker()
    cancel(peer)
    assert not is_running(worker)
    measure(peer, LAYERS[:1])
    assert isinstance(peer.receive(), Row)
    assert isinstance(peer.receive(), Done)


def test_a_cancel_that_comes_too_late_means_nothing(peer):
    peer.send(Cancel())
    measure(peer, LAYERS[:1])
    assert isinstance(peer.receive(), Row)
    assert isinstance(peer.receive(), Done)


def test_hanging_up_stops_the_job(agent):
    with raw_connection(agent.port) as peer:
        peer.greet()
        measure(peer, settings=ENDLESS)
        worker = agent.worker()
    wait_for(lambda: not is_running(worker))
    assert_still_serves(agent.port)


def test_another_host_hears_whose_job_is_running(agent):
    with raw_connection(agent.port) as peer, raw_connection(agent.port) as other:
        peer.greet(host="kit\x1bchen")
        other.greet()
        assert other.ask(Status()) == StatusReply(busy=False, holder="", running_s=0.0)
        measure(peer, settings=ENDLESS)
        agent.worker()
        assert other.ask(Status()).holder == "kit\N{REPLACEMENT CHARACTER}chen"
        assert peer.ask(Status()).busy
        for request in (Describe(), Measure(layers=(), settings=QUICK, runtime="onnx")):
            other.send(request)
            answer = other.receive()
            assert isinstance(answer, Busy)
            assert answer.holder == "kit\N{REPLACEMENT CHARACTER}chen"
            assert 0 <= answer.running_s < 60
        cancel(peer)
        other.send(Describe())
        assert isinstance(other.receive(), Description)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGILL, signal.SIGSEGV])
def test_a_dead_worker_is_an_answer(agent, peer, number):
    measure(peer, [LAYERS[0], *LAYERS[1:] * 1000])
    assert isinstance(peer.receive(), Row)
    os.kill(agent.worker(), number)
    error = next_that_is_no_row(peer)
    assert isinstance(error, Error)
    assert error.code == "measurement-failed"
    assert f": worker died: {number.name}" in error.what
    assert error.what.partition(": ")[0] in {layer.key for layer in LAYERS}
    measure(peer, LAYERS[:1])  # the same connection is as good as before
    assert isinstance(peer.receive(), Row)
    assert isinstance(peer.receive(), Done)


def test_a_worker_that_takes_too_long_is_stopped():
    with AgentProcess("--limit-s", "0.05") as agent, raw_connection(agent.port) as peer:
        peer.greet()
        measure(peer)
        error = peer.receive()
        assert "took longer than" in error.what
        assert children(agent.pid) == []


def test_a_layer_larger_than_memory_is_refused(peer):
    measure(peer, [LAYERS[0], ConvLayer(10**6, 10**3, 10**3, out_channels=1, kernel=1)])
    assert isinstance(peer.receive(), Row)
    error = peer.receive()
    assert error.code == "measurement-failed"
    assert "bytes of memory" in error.what


def test_a_core_that_does_not_exist_is_said(peer):
    measure(peer, settings=TimerSettings(core=60_000))
    error = peer.receive()
    assert "cannot pin to core 60000" in error.what
    assert "usable cores: " in error.hint


def test_the_worker_runs_where_it_is_told_to(agent, peer):
    core = max(os.sched_getaffinity(0))
    measure(peer, settings=TimerSettings(budget_ms=600_000.0, interval=1e-6, core=core))
    worker = agent.worker()
    wait_for(lambda: os.sched_getaffinity(worker) == {core})
    cancel(peer)


def test_a_runtime_that_is_not_offered_is_said(peer):
    measure(peer, runtime="torch")
    error = peer.receive()
    assert error.code == "runtime-unavailable"
    assert "onnx" in error.hint


def test_a_model_that_cannot_be_loaded_is_said(peer):
    images = Tensor(b"\0" * 4, (1, 1, 1, 1))
    peer.send(RunModel(model=b"no model", inputs=images, settings=QUICK, runtime="onnx"))
    error = peer.receive()
    assert error.code == "measurement-failed"
    assert "cannot load the model" in error.what


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: agent\r\n\r\n",
        b"\xff" * 100,
        b"\0\0\0\0",
        b"\0\0\0\5\xc1\xc1\xc1\xc1\xc1",
        (HELLO_LIMIT_BYTES + 1).to_bytes(4, "big"),
        encode(Describe()),
    ],
)
@pytest.mark.parametrize("greeted", [False, True])
def test_garbage_is_answered_and_ends_the_connection(agent, garbage, greeted):
    with raw_connection(agent.port) as peer:
        if greeted:
            peer.greet()
            garbage = b"\0\0\0\2" + zlib.crc32(b"\xc1\xc1").to_bytes(4) + b"\xc1\xc1" + garbage
        peer.socket.sendall(garbage)
        peer.socket.shutdown(socket.SHUT_WR)
        error = peer.receive()
        assert isinstance(error, Error)
        assert error.code in ("protocol", "frame-too-large", "corrupt-frame")
        assert peer.receive() is None
    assert_still_serves(agent.port)


def test_a_request_that_is_none_is_refused_and_the_next_one_served(peer):
    peer.send(Done())
    assert peer.receive().what == "a done message is not a request"
    peer.send(Describe())
    assert isinstance(peer.receive(), Description)


def test_silence_harms_nobody(agent):
    with raw_connection(agent.port):
        assert_still_serves(agent.port)


def test_another_major_version_is_told_what_to_upgrade(agent):
    with raw_connection(agent.port) as peer:
        error = peer.greet(version=(VERSION[0] + 1, 3))
        assert error.code == "version-mismatch"
        assert f"{VERSION[0]}.{VERSION[1]}" in error.what
        assert f"{VERSION[0] + 1}.3" in error.what
        assert "upgrade the agent" in error.hint
        assert peer.receive() is None


def test_a_later_minor_version_is_welcome(agent):
    with raw_connection(agent.port) as peer:
        assert peer.greet(version=(VERSION[0], VERSION[1] + 1)).version == VERSION


def test_a_host_of_the_last_major_version_is_served_as_it_always_was(agent):
    with raw_connection(agent.port) as peer:
        answers = []
        for request, replies in (
            (recorded.HELLO, 1), (recorded.DESCRIBE, 1), (recorded.MEASURE, 2)
        ):  # fmt: skip
            peer.socket.sendall(request)
            answers += [read_message(peer, major=1) for _ in range(replies)]
    welcome, description, row, done = answers
    assert welcome.version == (1, 0)
    assert welcome.limit_s == 60
    assert "onnx" in description.runtimes
    assert description.abi == ""
    assert row.measurement.key == "empty/1x2x3"
    assert isinstance(done, Done)


def test_a_damaged_request_is_not_obeyed(agent, peer):
    frame = bytearray(peer.frame(Measure(layers=LAYERS, settings=ENDLESS, runtime="onnx")))
    frame[-1] ^= 1
    peer.socket.sendall(frame)
    assert peer.receive().code == "corrupt-frame"
    assert peer.receive() is None
    assert children(agent.pid) == []


def test_requests_may_wait_behind_a_job_but_not_pile_up(agent, peer):
    measure(peer, LAYERS[:1] * 50)
    peer.send(Describe())
    assert isinstance(next_that_is_no_row(peer), Done)
    assert isinstance(peer.receive(), Description)
    measure(peer, settings=ENDLESS)
    worker = agent.worker()
    peer.send(Describe())
    peer.send(Describe())
    assert "before the last was answered" in peer.receive().what
    wait_for(lambda: not is_running(worker))


def test_only_so_many_may_connect():
    with AgentProcess() as agent, ExitStack() as stack:
        for _ in range(MOST_CONNECTIONS):
            stack.enter_context(raw_connection(agent.port)).greet()
        with raw_connection(agent.port) as late:
            assert late.socket.recv(1) == b""
        stack.close()
        wait_for(lambda: can_greet(agent.port))


def can_greet(port):
    with raw_connection(port) as peer, suppress(ConnectionError):
        return isinstance(peer.greet(), Welcome)


def test_a_worker_ends_with_its_job(agent, peer):
    measure(peer)
    agent.worker()
    assert isinstance(next_that_is_no_row(peer), Done)
    assert children(agent.pid) == []
