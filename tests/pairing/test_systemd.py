"""The unit under a real `systemd --user`, beside an sshd in a mount namespace of its own."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from metanas.errors import InstallationError
from metanas.pairing.prompts import Prompts
from metanas.pairing.ssh import SshSession
from metanas.pairing.target import SshTarget
from metanas.pairing.unit import UNIT
from support.ssh_board import MakeBoard, SshBoard
from support.ssh_pairing import install, leave, wait_until_back

SYSTEMD = Path("/lib/systemd/systemd")
CGROUPS = Path("/sys/fs/cgroup")
RUNTIME = f"/run/user/{os.geteuid()}"

_START = f"""\
set -e
home=$1; groups=$2; shift 2
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/sshd {RUNTIME}
chmod 700 {RUNTIME}
for group in $groups; do echo $$ > $group/cgroup.procs; done
HOME=$home XDG_RUNTIME_DIR={RUNTIME} {SYSTEMD} --user > $home/../systemd.log 2>&1 &
exec "$@"
"""


@pytest.fixture
def groups() -> Iterator[list[Path]]:
    """Control groups for a systemd to rule: one, or one in each of the hierarchies it knows."""
    if os.geteuid() != 0 or not SYSTEMD.exists() or not shutil.which("unshare"):
        pytest.skip("a systemd of our own takes root, systemd and unshare")
    hybrid = [CGROUPS / name for name in ("systemd", "unified") if (CGROUPS / name).is_dir()]
    made = [parent / f"metanas-test-{os.getpid()}" for parent in hybrid or [CGROUPS]]
    try:
        for group in made:
            group.mkdir()
            if not (group / "cgroup.procs").exists():
                pytest.skip(f"no control groups in {group.parent}")
        yield made
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    finally:
        _remove(made)


@pytest.fixture
def board(make_board: MakeBoard, groups: list[Path]) -> SshBoard:
    board = make_board(start=False)
    namespace = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _START, "sh"]
    board.launcher = (*namespace, str(board.home), " ".join(map(str, groups)))
    board.start()
    for _ in range(200):
        if systemctl(board, "is-system-running") in ("running", "degraded"):
            return board
        time.sleep(0.1)
    pytest.skip(f"no systemd here: {(board.folder / 'systemd.log').read_text()}")


def systemctl(board: SshBoard, *arguments: str) -> str:
    with SshSession(SshTarget.parse(board.target), Prompts(), key_file=board.key) as session:
        command = ["env", f"XDG_RUNTIME_DIR={RUNTIME}", "systemctl", "--user", *arguments]
        return session.run(command).output.strip()


def main_process(board: SshBoard) -> int:
    return int(systemctl(board, "show", "--property=MainPID", "--value", UNIT))


def test_the_unit_starts_comes_back_and_leaves(board: SshBoard) -> None:
    said: list[str] = []
    before = board.files()
    device = install(board, said=said)
    assert [line for line in said if "loginctl enable-linger" in line]  # there is no logind here
    assert systemctl(board, "is-enabled", UNIT) == "enabled"
    running = main_process(board)
    assert running in board.agents()

    install(board, said=said)
    assert main_process(board) == running

    os.kill(running, signal.SIGKILL)
    wait_until_back(device)
    assert main_process(board) != running

    assert leave(board, device)
    assert systemctl(board, "show", "--property=LoadState", "--value", UNIT) == "not-found"
    assert board.agents() == []
    assert board.files() == before


def test_an_agent_that_cannot_start_is_named(board: SshBoard) -> None:
    with pytest.raises(
        InstallationError, match=r"does not start.*(privileged|ended|cannot listen)"
    ):
        install(board, port=board.port)  # where the sshd listens


def _remove(groups: list[Path]) -> None:
    """End what is left in the groups, and the groups."""
    for group in groups:
        folders = sorted(group.rglob("*/"), reverse=True) if group.exists() else []
        for folder in [*folders, group]:
            for _ in range(50):
                with suppress(OSError):
                    for process in (folder / "cgroup.procs").read_text().split():
                        os.kill(int(process), signal.SIGKILL)
                with suppress(OSError):
                    folder.rmdir()
                if not folder.exists():
                    break
                time.sleep(0.1)
