"""Who has the device: hosts that vanish, are stopped, or come back over another connection."""

import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from metanas_agent.layers import EmptyLayer
from metanas_agent.messages import Alive, Busy, Done, Error, Measure, Row, Status
from metanas_agent.protocol import read_message
from metanas_agent.timer import TimerSettings
from support.agent_process import AgentProcess, children, is_running, raw_connection, wait_for
from support.faulty_link import FaultyLink

LEASE_S = 1.0
QUICK = TimerSettings(budget_ms=2.0, min_samples=6, interval=0.5, sample_ms=0.05)
ENDLESS = Measure(
    layers=(EmptyLayer(1, 1, 1),),
    settings=TimerSettings(budget_ms=600_000.0, interval=1e-6),
    runtime="onnx",
)
SHORT = Measure(layers=(EmptyLayer(1, 1, 1),), settings=QUICK, runtime="onnx")


@pytest.fixture(scope="module")
def agent():
    with AgentProcess("--runtime", "onnx", "--lease-s", str(LEASE_S)) as agent:
        yield agent


@pytest.fixture(scope="module")
def patient_agent():
    with AgentProcess("--runtime", "onnx") as agent:
        yield agent


@pytest.fixture(autouse=True)
def idle(agent, patient_agent):
    """Each test begins when the job of the last one has let go of the device."""
    for each in (agent, patient_agent):
        wait_until_free(each)


def wait_until_free(agent):
    with raw_connection(agent.port) as peer:
        peer.greet()
        wait_for(lambda: not peer.ask(Status()).busy)


def receive_alive(peer):
    """The next message, with a sign of life in return for each of the agent's."""
    while isinstance(message := read_message(peer, major=2), Alive):
        peer.send(Alive())
    return message


def error_at_end(peer):
    while not isinstance(message := peer.receive(), Error):
        assert isinstance(message, Row)
    assert peer.receive() is None
    return message


def test_a_silent_host_loses_the_device(agent):
    with raw_connection(agent.port) as peer:
        peer.greet()
        peer.send(ENDLESS)
        worker = agent.worker()
        error = error_at_end(peer)
    assert error.code == "lease-lost"
    assert "no sign of life" in error.what
    assert not is_running(worker)


def test_a_host_that_gives_signs_of_life_keeps_it(agent):
    with raw_connection(agent.port) as peer:
        peer.greet()
        peer.send(ENDLESS)
        worker = agent.worker()
        for _ in range(9):  # of the agent's, each a third of the lease
            assert isinstance(read_message(peer, major=2), Alive)
            peer.send(Alive())
        assert is_running(worker)


def test_an_idle_host_need_not_talk_of_anything_else(agent):
    with raw_connection(agent.port) as peer:
        peer.greet()
        for _ in range(6):
            assert isinstance(read_message(peer, major=2), Alive)
            peer.send(Alive())
        peer.send(SHORT)
        assert isinstance(receive_alive(peer), Row)
        assert isinstance(receive_alive(peer), Done)


def test_a_host_of_protocol_1_gives_no_signs_of_life_and_keeps_the_device(agent):
    with raw_connection(agent.port) as peer:
        peer.greet(version=(1, 0))
        peer.send(ENDLESS)
        worker = agent.worker()
        peer.socket.settimeout(3 * LEASE_S)
        with pytest.raises(TimeoutError):
            peer.receive()
        assert is_running(worker)


def test_a_host_whose_cable_is_pulled_loses_the_device(agent):
    with FaultyLink(agent.port) as link, raw_connection(link.port) as peer:
        peer.greet()
        peer.send(ENDLESS)
        worker = agent.worker()
        link.go_silent()
        wait_for(lambda: not is_running(worker))
        wait_until_free(agent)


def test_a_stopped_host_loses_the_device_and_is_told_when_it_wakes(agent):
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, str(agent.port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with host, ended(host):
        assert host.stdout.readline() == "row\n"
        worker = agent.worker()
        host.send_signal(signal.SIGSTOP)
        wait_for(lambda: not is_running(worker))
        wait_until_free(agent)
        with raw_connection(agent.port) as other:
            other.greet()
            other.send(SHORT)
            assert isinstance(receive_alive(other), Row)
        host.send_signal(signal.SIGCONT)
        _, errors = host.communicate(timeout=30)
    assert errors.splitlines()[-1].startswith("metanas_agent.errors.LeaseLostError: the host gave")


def test_a_host_that_comes_back_takes_over_from_itself_at_once(patient_agent):
    with raw_connection(patient_agent.port) as lost, raw_connection(patient_agent.port) as back:
        lost.greet(session="mine")
        lost.send(ENDLESS)
        worker = patient_agent.worker()
        back.greet(session="mine")
        assert isinstance(back.ask(SHORT), Row)
        assert not is_running(worker)
        assert isinstance(back.receive(), Done)
        error = error_at_end(lost)
    assert error.code == "lease-lost"
    assert "another connection" in error.what


@pytest.mark.parametrize("session", ["", "other"])
def test_nobody_else_takes_over(patient_agent, session):
    with raw_connection(patient_agent.port) as holder, raw_connection(patient_agent.port) as other:
        holder.greet(session="" if not session else "mine")
        holder.send(ENDLESS)
        worker = patient_agent.worker()
        other.greet(session=session)
        assert isinstance(other.ask(SHORT), Busy)
        assert is_running(worker)


def test_nothing_is_left_of_all_this(agent, patient_agent):
    wait_for(lambda: not children(agent.pid) + children(patient_agent.pid))


@contextmanager
def ended(process):
    try:
        yield
    finally:
        process.kill()


HOST = """
import sys
from metanas.devices.client import AgentDevice
from metanas.devices.endpoint import TcpEndpoint
from metanas_agent.layers import EmptyLayer
from metanas_agent.timer import TimerSettings
device = AgentDevice("board", TcpEndpoint("127.0.0.1", int(sys.argv[1])))
settings = TimerSettings(budget_ms=20.0, interval=1e-6)
for row in device.measure([EmptyLayer(1, 1, 1)] * 10_000, settings):
    print("row", flush=True)
"""
