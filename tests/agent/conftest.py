"""A machine of made-up files to examine."""

import pytest

from metanas_agent.doctor import examine
from metanas_agent.system import System
from support.machine_files import QUIET, ticks


@pytest.fixture
def unaided(tmp_path, monkeypatch):
    """No program and no setting of the machine that tests is found."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("METANAS_EMULATED", raising=False)


@pytest.fixture
def tree(tmp_path, unaided):
    """Writes files of a machine that is quiet; None takes one away."""

    def write(files):
        for path, text in files.items():
            file = tmp_path / path
            if text is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    write({**QUIET, "proc/stat": ticks()})
    return write


@pytest.fixture
def look(tree, tmp_path):
    """The findings by check, after some files are changed; `later` changes while it watches."""

    def examined(files=(), later=(), machine="x86_64"):
        tree(dict(files))
        watched = {"proc/stat": ticks(busy=2, idle=1198), **dict(later)}
        system = System(tmp_path, machine=machine)
        findings = examine(system, wait=lambda _: tree(watched))
        return {finding.check: finding for finding in findings}

    return examined
