"""Links that break and agents that are killed, with real processes; each row comes once."""

import numpy as np
import pytest

from metanas.devices import AgentDevice, ReconnectingDevice, TcpEndpoint
from metanas.devices.reconnecting import PATIENCE_S
from metanas.errors import AgentUnreachableError, DeviceBusyError, MeasurementFailedError
from metanas_agent.layers import ConvLayer, EmptyLayer
from metanas_agent.messages import Status
from metanas_agent.timer import TimerSettings
from support.agent_process import AgentProcess, raw_connection, wait_for
from support.device_conformance import DeviceConformance, sum_model
from support.faulty_link import FaultyLink

QUICK = TimerSettings(budget_ms=2.0, min_samples=6, interval=0.5, sample_ms=0.05)
SLOW = TimerSettings(budget_ms=50.0, interval=1e-6)
LAYERS = [EmptyLayer(1, 1, width) for width in range(1, 13)]
KEYS = [layer.key for layer in LAYERS]


def connector(port):
    def connect(session):
        return AgentDevice("pi0", TcpEndpoint("127.0.0.1", port), session=session)

    return connect


@pytest.fixture(scope="module")
def agent():
    with AgentProcess("--runtime", "onnx", "--lease-s", "2") as agent:
        yield agent


@pytest.fixture
def link(agent):
    with FaultyLink(agent.port) as link:
        yield link


class TestReconnectingDevice(DeviceConformance):
    @pytest.fixture
    def device(self, link):
        with ReconnectingDevice(connector(link.port)) as device:
            yield device


def test_a_cut_link_costs_no_row_and_doubles_none(link):
    waits = []
    with ReconnectingDevice(connector(link.port), on_wait=waits.append) as device:
        keys = []
        for row in device.measure(LAYERS, SLOW):
            keys.append(row.key)
            if len(keys) in (1, 5, 12):
                link.cut()
    assert keys == KEYS
    assert 1 <= len(waits) <= 3  # rows that have arrived already need no link
    assert all(wait.startswith("lost pi0: lost the agent at 127.0.0.1:") for wait in waits)
    assert waits[0].endswith("; trying again in 1 s")


def test_a_pulled_cable_is_noticed(link):
    """Nothing is said by anybody; only signs of life are missing."""
    waits = []

    def mend(text):
        waits.append(text)
        link.cut()  # the old connections, for good
        link.flow_again()

    with ReconnectingDevice(connector(link.port), on_wait=mend) as device:
        rows = device.measure(LAYERS, SLOW)
        keys = [next(rows).key]
        link.go_silent()
        keys += [row.key for row in rows]
    assert keys == KEYS
    assert "no sign of life" in waits[0]


def test_an_agent_that_is_killed_and_comes_back_goes_on():
    agents = [AgentProcess("--runtime", "onnx")]
    port = agents[0].port

    def revive(_):
        if len(agents) < 3:
            agents.append(AgentProcess("--runtime", "onnx", port=port))

    with ReconnectingDevice(connector(port), on_wait=revive) as device:
        keys = []
        for row in device.measure(LAYERS, SLOW):
            keys.append(row.key)
            if len(keys) in (2, 7):
                agents[-1].kill()
    assert keys == KEYS
    assert len(agents) == 3
    for agent in agents:
        agent.__exit__()


def test_a_lost_model_is_run_again(link):
    images = np.ones((2, 2, 3, 3), np.float32)
    with ReconnectingDevice(connector(link.port)) as device:
        link.cut()
        run = device.run_model(sum_model(), images, QUICK)
        link.cut()
        assert device.describe().name == "pi0"
    np.testing.assert_allclose(run.outputs, 9.0)


def test_without_patience_a_lost_link_is_an_error(link):
    with ReconnectingDevice(connector(link.port), patience_s=0) as device:
        rows = device.measure(LAYERS, QUICK)
        next(rows)
        link.cut()
        with pytest.raises(AgentUnreachableError, match="lost the agent"):
            list(rows)
        assert len(list(device.measure(LAYERS[:1], QUICK))) == 1  # asked again by hand, it works


def test_an_agent_that_stays_away_is_given_up_after_a_while():
    waits = []
    with AgentProcess("--runtime", "onnx") as agent:
        device = ReconnectingDevice(connector(agent.port), patience_s=1.0, on_wait=waits.append)
        agent.kill()
        with device, pytest.raises(AgentUnreachableError, match="no agent answers"):
            device.describe()
    assert len(waits) >= 2


def test_the_first_connection_must_succeed():
    with FaultyLink(1) as dead, pytest.raises(AgentUnreachableError):
        ReconnectingDevice(connector(dead.port), patience_s=PATIENCE_S)


def test_what_is_no_lost_link_is_no_reason_to_try_again(link, agent):
    huge = ConvLayer(10**6, 10**3, 10**3, out_channels=1, kernel=1)
    waits = []
    with ReconnectingDevice(connector(link.port), on_wait=waits.append) as device:
        with pytest.raises(MeasurementFailedError):
            list(device.measure([huge], QUICK))
        with AgentDevice("same", agent.endpoint) as other:
            rows = other.measure(LAYERS * 100, QUICK)
            next(rows)
            with pytest.raises(DeviceBusyError):
                list(device.measure(LAYERS, QUICK))
            rows.close()
    assert waits == []


def test_a_job_that_came_while_the_link_was_lost_is_waited_for(agent, link):
    """Such as that of the command that starts an agent again, and asks what it can do."""
    waits = []
    with AgentDevice("other", agent.endpoint) as other:
        others = other.measure(LAYERS * 100, QUICK)

        def meanwhile(text):
            waits.append(text)
            if "is busy" in text:
                others.close()
            elif len(waits) == 1:
                wait_for(lambda: not other.status().busy)  # it saw that we are gone
                next(others)

        with ReconnectingDevice(connector(link.port), on_wait=meanwhile) as device:
            rows = device.measure(LAYERS, SLOW)
            keys = [next(rows).key]
            device._let_go()
            keys += [row.key for row in rows]
    assert keys == KEYS
    assert any("is busy" in wait for wait in waits)


def test_stopping_early_stops_the_job(link, agent):
    with ReconnectingDevice(connector(link.port)) as device:
        rows = device.measure(LAYERS * 100, QUICK)
        next(rows)
        rows.close()
        with raw_connection(agent.port) as peer:
            peer.greet()
            assert not peer.ask(Status()).busy


def test_it_comes_back_before_the_agent_has_noticed_that_it_was_lost(link, agent):
    """Only this side sees the cut: at the agent's the old connection seems to live."""
    with ReconnectingDevice(connector(link.port)) as device:
        rows = device.measure(LAYERS, SLOW)
        next(rows)
        device._device._connection._stream.close()
        assert len(list(rows)) == len(LAYERS) - 1
