"""The one-file agent on every Python that it is for, with a host that speaks to it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from metanas.devices import AgentDevice, UnixEndpoint
from metanas.pairing.zipapp import build_agent_pyz
from support.pythons import other_python

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
OURS = {"ifaddr", "metanas_agent", "msgpack", "zeroconf"}

IMPORTED = """\
import sys
before = set(sys.modules)
sys.path.insert(0, sys.argv[1])
import metanas_agent.cli, metanas_agent.worker, zeroconf.asyncio
names = {name.partition('.')[0] for name in set(sys.modules) - before}
print(*names - set(sys.stdlib_module_names))
"""


@pytest.fixture(scope="module")
def agent_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pyz") / "agent.pyz"
    path.write_bytes(build_agent_pyz().data)
    return path


@pytest.fixture(params=VERSIONS)
def python(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Runs it without what is installed, in an empty environment; a warning is an error."""
    return ("env", "-i", "PYTHONWARNINGS=error", other_python(request.param), "-S")


@pytest.fixture
def served(python: tuple[str, ...], agent_file: Path, tmp_path: Path) -> Iterator[UnixEndpoint]:
    """Where such an agent listens."""
    socket = tmp_path / "socket" / "agent"
    socket.parent.mkdir(mode=0o700)
    arguments = ("serve", "--unix", socket, "--state", tmp_path / "state")
    with subprocess.Popen(
        [*python, agent_file, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline().endswith(f"listening on {socket}\n")
        yield UnixEndpoint(socket)
        process.terminate()
        assert (process.wait(), process.stderr.read()) == (0, "")


def test_it_imports_only_the_library_and_what_it_brings(
    python: tuple[str, ...], agent_file: Path
) -> None:
    done = subprocess.run(
        [*python, "-c", IMPORTED, agent_file], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == OURS


def test_a_host_is_answered(served: UnixEndpoint) -> None:
    """Which takes a worker too, that says which runtimes there are."""
    device = AgentDevice("board", served)
    try:
        description = device.describe()
    finally:
        device.close()
    assert "native" in description.runtimes
