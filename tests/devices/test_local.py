import os
import signal
import stat
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from metanas.devices import LocalAgent, local
from metanas.errors import AgentUnreachableError, RuntimeUnavailableError
from metanas_agent.layers import EmptyLayer
from metanas_agent.measurement import METHOD_VERSION
from support.agent_process import children, is_running, wait_for
from support.device_conformance import QUICK, DeviceConformance, sum_model


class TestLocalAgent(DeviceConformance):
    @pytest.fixture
    def device(self):
        with LocalAgent() as device:
            yield device


def test_outputs_equal_onnxruntimes_own():
    images = np.random.default_rng(1).standard_normal((9, 2, 3, 3), np.float32)
    session = onnxruntime.InferenceSession(sum_model(), providers=["CPUExecutionProvider"])
    expected = [session.run(None, {"images": image[None]})[0] for image in images]
    with LocalAgent() as device:
        run = device.run_model(sum_model(), images, QUICK)
    np.testing.assert_array_equal(run.outputs, np.concatenate(expected))
    assert run.latency.runtime_version == onnxruntime.__version__
    assert run.latency.method == METHOD_VERSION
    assert run.peak_memory_bytes > 10_000_000  # a Python process with onnxruntime in it


def test_the_agent_stops_with_the_device():
    with LocalAgent() as device:
        agent = device.process_id
        assert is_running(agent)
    assert not is_running(agent)


def test_a_closed_device_is_unreachable():
    with LocalAgent() as device:
        device.close()
        with pytest.raises(AgentUnreachableError):
            list(device.measure([EmptyLayer(1, 1, 1)], QUICK))
        with pytest.raises(AgentUnreachableError):
            device.describe()


def test_close_stops_a_running_job():
    with LocalAgent() as device:
        rows = device.measure([EmptyLayer(1, 1, 1)] * 10_000, QUICK)
        next(rows)
        (worker,) = children(device.process_id)
        device.close()
        assert not is_running(worker)


def test_an_agent_killed_in_a_sweep_is_unreachable():
    with LocalAgent() as device:
        rows = device.measure([EmptyLayer(1, 1, 1)] * 10_000, QUICK)
        next(rows)
        (worker,) = children(device.process_id)
        os.kill(device.process_id, signal.SIGKILL)
        with pytest.raises(AgentUnreachableError, match="lost the agent"):
            list(rows)
        wait_for(lambda: not is_running(worker))


def test_an_agent_that_does_not_start_is_unreachable(monkeypatch):
    monkeypatch.setattr(local, "_COMMAND", ("true",))
    with pytest.raises(AgentUnreachableError, match="did not start"):
        LocalAgent()


def test_a_runtime_that_there_is_not_is_said():
    with pytest.raises(RuntimeUnavailableError, match=r"'abacus'.*choose from native, onnx"):
        LocalAgent(runtime="abacus")


def test_only_its_user_can_reach_it(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with LocalAgent() as device:
        (path,) = tmp_path.glob("metanas-*/agent")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert not device.status().busy
    assert not path.parent.exists()


def test_ctrl_c_reaches_the_host_alone():
    with LocalAgent() as device:
        assert os.getsid(device.process_id) == device.process_id
        assert os.getsid(device.process_id) != os.getsid(0)
        rows = device.measure([EmptyLayer(1, 1, 1)] * 100, QUICK)
        next(rows)
        (worker,) = children(device.process_id)
        assert os.getsid(worker) == worker
        assert len(list(rows)) == 99


def test_nothing_is_left_open(recwarn):
    before = set(Path("/proc/self/fd").iterdir())
    with LocalAgent() as device:
        list(device.measure([EmptyLayer(1, 1, 1)], QUICK))
    assert set(Path("/proc/self/fd").iterdir()) == before
    assert not [warning for warning in recwarn if issubclass(warning.category, ResourceWarning)]
