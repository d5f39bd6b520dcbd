"""The whole way: export here, run in a real agent process, compare."""

from __future__ import annotations

import dataclasses

import pytest

from metanas.deploy import Network, verify
from metanas.devices import LocalAgent
from metanas.errors import MeasurementFailedError
from metanas_agent.timer import TimerSettings

SETTINGS = TimerSettings(budget_ms=50)
NETWORK = Network(name="found", architecture="k3c16relu")


@pytest.fixture(scope="module")
def agent():
    agent = LocalAgent()
    yield agent
    agent.close()


def test_agent_computes_what_the_host_computes(agent, networks, predicted):
    verification = verify(agent, networks, predicted=predicted, settings=SETTINGS, network=NETWORK)
    assert verification.outputs_pass
    assert verification.agreement.top1 == 1
    assert verification.agreement.largest_share < 1e-5
    assert verification.device == "local"
    assert verification.measured.source == "measured"
    assert verification.measured.runtime == "onnx"
    assert verification.measured.median_ms > 0
    assert verification.memory.process_bytes > verification.memory.runtime_bytes > 1_000_000


def test_model_that_the_agents_runtime_cannot_run_is_its_failure(agent, networks, predicted):
    unknown = networks[0].model.replace(b"LeakyRelu", b"LeakyRels")
    spoiled = dataclasses.replace(networks[0], model=unknown)
    with pytest.raises(MeasurementFailedError):
        agent.run_model(spoiled.model, spoiled.images, SETTINGS)
