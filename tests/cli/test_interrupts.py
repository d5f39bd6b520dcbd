"""Ctrl-C as a terminal sends it, to all processes of a command, at awkward instants."""

import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from support.agent_process import children

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
SCRIPTS = PROJECT["project"]["scripts"]
TRAIN = "--iterations 999 --tasks 2 --inner-steps 1 --train-queries 1 --ways 2 --queries 2".split()
PATIENCE_S = 60

INTERRUPTED_WHILE_IMPORTING = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == {heavy!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from {module} import {function}
sys.exit({function}())
"""


def start(*command):
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def workers_of(process):
    """Processes that `multiprocessing` has begun for it, even if they still import."""
    found = []
    for child in children(process.pid):
        command = Path(f"/proc/{child}/cmdline").read_bytes()
        found += [child] if b"spawn_main" in command else []
    return found


def wait_until(happened, process):
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("instant", ["its worker begins", "its worker imports", "it trains"])
def test_ctrl_c_ends_training_at_any_instant(tmp_path, instant):
    process = start("-m", "metanas", "train", tmp_path / "run", *TRAIN, "--workers", 2)
    metrics = tmp_path / "run" / "supernet.metrics.jsonl"
    try:
        wait_until(
            metrics.exists if instant == "it trains" else lambda: workers_of(process), process
        )
        if instant == "its worker imports":
            time.sleep(0.5)
        workers = workers_of(process)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 130
    assert "the same command goes on from here" in err
    assert "Traceback" not in err
    assert workers
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]


@pytest.mark.parametrize(
    ("script", "heavy"),
    [("metanas", "typer"), ("metanas-profile", "typer"), ("metanas-agent", "asyncio")],
)
def test_ctrl_c_while_a_command_imports_is_no_traceback(script, heavy):
    module, _, function = SCRIPTS[script].partition(":")
    process = start(
        "-c",
        INTERRUPTED_WHILE_IMPORTING.format(heavy=heavy, module=module, function=function),
    )
    assert process.communicate(timeout=PATIENCE_S) == ("", "")
    assert process.returncode == 130


@pytest.mark.parametrize("module", ["metanas", "metanas_agent"])
def test_a_module_runs_as_its_script_does(module):
    process = start("-m", module, "--help")
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert "usage" in out.lower()
