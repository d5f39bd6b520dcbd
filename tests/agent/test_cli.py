import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from metanas_agent import __version__
from metanas_agent.errors import UnsafeAddressError
from metanas_agent.layers import EmptyLayer
from metanas_agent.listeners import loopback_address
from metanas_agent.messages import Measure
from metanas_agent.state import StateFolder
from metanas_agent.timer import TimerSettings
from support.agent_process import AgentProcess, children, is_running, raw_connection, wait_for


def metanas_agent(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "metanas_agent", *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        **options,
    )


@pytest.fixture
def info_with_onnxruntime(tmp_path):
    """What a machine says of itself where onnxruntime is this code."""

    def info(code, *arguments):
        (tmp_path / "onnxruntime.py").write_text(code)
        run = metanas_agent(
            "info", "--json", *arguments, env={**os.environ, "PYTHONPATH": str(tmp_path)}
        )
        return json.loads(run.stdout)

    return info


def test_info_says_what_the_machine_can_run():
    run = metanas_agent("info")
    assert run.returncode == 0
    assert "runtimes       native 1, onnx 1." in run.stdout
    assert f"agent version  {__version__}" in run.stdout


def test_info_for_scripts():
    import onnxruntime
    import torch

    run = metanas_agent("info", "--json")
    values = json.loads(run.stdout)
    versions = {"native": "1", "onnx": onnxruntime.__version__, "torch": torch.__version__}
    assert values["runtimes"] == versions
    assert values["unavailable"] == {}
    assert values["cores"] == len(os.sched_getaffinity(0))


def test_a_runtime_that_is_not_installed_is_said_to_be(info_with_onnxruntime):
    code = "raise ImportError('no wheel for this processor')"
    values = info_with_onnxruntime(code, "--runtime", "onnx")
    assert values["runtimes"] == {}
    assert "no wheel for this processor" in values["unavailable"]["onnx"]
    assert "pip install" in values["unavailable"]["onnx"]


def test_a_runtime_that_crashes_is_unavailable_and_no_crash_of_ours(info_with_onnxruntime):
    values = info_with_onnxruntime("import os; os.kill(os.getpid(), 4)")
    assert "runtime unavailable: SIGILL" in values["unavailable"]["onnx"]


def test_what_native_code_prints_does_not_reach_the_frames(info_with_onnxruntime):
    values = info_with_onnxruntime(
        "import os; os.write(1, b'hello from C'); print('and python'); raise ImportError('done')"
    )
    assert "runtime unavailable: onnx: done" in values["unavailable"]["onnx"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_cleanly_when_told_to(number):
    with AgentProcess() as agent:
        assert agent.line == f"metanas-agent {__version__} listening on 127.0.0.1:{agent.port}\n"
        with raw_connection(agent.port) as peer:
            peer.greet()
            assert agent.stop(number) == 0
            assert peer.socket.recv(1) == b""


def test_a_port_in_use_is_one_clear_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = metanas_agent("serve", "--port", str(port))
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{port}" in run.stderr
    assert "--port" in run.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "example.org", ""])
def test_refuses_addresses_that_others_can_reach(host):
    run = metanas_agent("serve", "--host", host)
    assert run.returncode == 1
    assert f"will not listen on {host!r}" in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda state: (state / "identity").mkdir(), "device.json"),
        (lambda state: state.chmod(0o755), "others could reach it"),
    ],
)
def test_a_state_folder_that_makes_no_sense_is_one_clear_line(tmp_path, make, complaint):
    make(tmp_path)
    options = ("--state", str(tmp_path), "--unix", str(tmp_path / "agent"))
    run = metanas_agent("serve", *options)
    assert run.returncode == 1
    assert complaint in run.stderr
    assert run.stderr.count("\n") == 1


def test_state_lies_where_the_system_wants_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert StateFolder.default().root == tmp_path / "metanas-agent"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert StateFolder.default().root == tmp_path / ".local/share/metanas-agent"


def test_loopback_addresses_are_fine():
    assert loopback_address("localhost") == "127.0.0.1"
    assert loopback_address("127.0.3.1") == "127.0.3.1"
    assert loopback_address("::1") == "::1"
    with pytest.raises(UnsafeAddressError):
        loopback_address("127.0.0.1.example.org")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "required: COMMAND"),
        (("dance",), "'dance'"),
        (("serve", "--port", "65536"), "'65536' is no port; use 0 to 65535"),
        (("serve", "--port", "x"), "'x' is no port; use 0 to 65535"),
        (("info", "--limit-s", "x"), "'x' is no time limit; use a number of seconds"),
        (("serve", "--lease-s", "nan"), "'nan' is no time limit"),
        (("serve", "--runtime", "none"), "'none'"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments, words):
    run = metanas_agent(*arguments)
    assert run.returncode == 2
    assert "usage: metanas-agent" in run.stderr
    assert words in run.stderr


@pytest.mark.parametrize("below", ["", "state"])
@pytest.mark.parametrize(
    "command", [("serve",), ("info",), ("bundles",), ("rollback", "x"), ("install", "x")]
)
def test_a_state_folder_that_is_a_file_is_one_clear_line(tmp_path, command, below):
    file = tmp_path / "file"
    file.touch()
    run = metanas_agent(*command, "--state", str(file / below))
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == f"metanas-agent: {file} is no folder (give a folder with --state)\n"


def test_help_and_version():
    assert "loopback" in metanas_agent("serve", "--help").stdout
    assert metanas_agent("--version").stdout == f"metanas-agent {__version__}\n"


def test_no_worker_outlives_a_killed_agent():
    settings = TimerSettings(interval=1e-6, budget_ms=600_000)
    with AgentProcess() as agent, raw_connection(agent.port) as peer:
        peer.greet()
        peer.send(Measure(layers=(EmptyLayer(1, 1, 1),), settings=settings, runtime="onnx"))
        worker = agent.worker()
        agent.kill()
        wait_for(lambda: not is_running(worker))


def test_no_agent_outlives_its_parent():
    """The parent is killed, so it cannot clean up: agent and worker must see it by themselves."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    agent = int(parent.stdout.readline())
    (worker,) = wait_for(lambda: children(agent))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not is_running(agent) and not is_running(worker))


PARENT = """
from metanas.devices import LocalAgent
from metanas_agent.layers import EmptyLayer
from metanas_agent.timer import TimerSettings
device = LocalAgent()
print(device.process_id, flush=True)
settings = TimerSettings(interval=1e-6, budget_ms=600_000)
next(device.measure([EmptyLayer(1, 1, 1)], settings))
"""
