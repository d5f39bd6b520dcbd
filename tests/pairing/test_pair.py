"""A board is paired, used, paired again, shared and left."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
import zipfile
from pathlib import Path

import pytest

from metanas.devices import DeviceDescription
from metanas.errors import (
    AgentUnreachableError,
    AmbiguousDeviceError,
    PairingError,
    UntrustedError,
)
from metanas.pairing import PairedDevice, find_paired, host_certificate, paired_devices
from metanas.pairing.pair import Wishes
from metanas.pairing.zipapp import AgentFile, build_agent_pyz
from metanas_agent.layers import ConvLayer
from metanas_agent.timer import TimerSettings
from support.ssh_board import MakeBoard, SshBoard
from support.ssh_pairing import connect, describe, install, leave, wait_until_back, words


def test_a_board_is_paired_used_and_left_as_it_was(board: SshBoard, host_home: Path) -> None:
    before = board.files()
    said: list[str] = []
    device = install(board, name="pi0", said=said)
    assert not [line for line in said if "clock" in line]
    assert find_paired("pi0") == device
    assert device.ssh == board.target
    assert device.address == f"127.0.0.1:{board.agent_port}"
    assert describe(device).name == "pi0"

    names = {path.name for path in (board.state / "agent").iterdir()}
    assert names == {f"{device.agent_sha256}.pyz"}
    for path in [board.state, *board.state.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path

    assert leave(board, device)
    assert board.files() == before
    assert board.agents() == []
    assert paired_devices() == ()
    with pytest.raises(AgentUnreachableError):
        describe(device)


def test_pairing_again_changes_what_is_asked_and_no_more(board: SshBoard) -> None:
    first = install(board, name="pi0")
    running = board.agents()
    assert install(board) == first
    assert board.agents() == running != []
    second = install(board, name="kitchen")
    assert second.id == first.id
    assert [device.name for device in paired_devices()] == ["kitchen"]
    assert json.loads((board.state / "identity/device.json").read_text())["name"] == "kitchen"
    assert describe(second).name == "kitchen"


def test_a_new_agent_takes_the_old_ones_place(
    board: SshBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = io.BytesIO(build_agent_pyz().data)
    with zipfile.ZipFile(former, "a") as archive:
        archive.writestr("metanas_agent/former.py", "")
    with monkeypatch.context() as patch:
        patch.setattr("metanas.pairing.pair.build_agent_pyz", lambda: AgentFile(former.getvalue()))
        old = install(board, name="pi0")
    running = board.agents()
    new = install(board)
    assert new.agent_sha256 == build_agent_pyz().sha256 != old.agent_sha256
    assert (new.id, new.name, new.certificate) == (old.id, old.name, old.certificate)
    assert not set(running) & set(board.agents())
    assert [path.stem for path in (board.state / "agent").iterdir()] == [new.agent_sha256]


def test_an_agent_that_is_killed_comes_back(board: SshBoard) -> None:
    """Without systemd, a shell sees to it."""
    device = install(board)
    (agent,) = [pid for pid in board.agents() if b"/bin/sh" not in words(pid)]
    os.kill(agent, signal.SIGKILL)
    wait_until_back(device)
    assert agent not in board.agents()


def test_the_one_file_agent_measures_with_what_is_installed(board: SshBoard) -> None:
    """Its worker starts from within the file, and finds the board's onnxruntime."""
    device = install(board, python=sys.executable)
    layer = ConvLayer(3, 8, 8, out_channels=4, kernel=3)
    settings = TimerSettings(budget_ms=5.0)
    with connect(device) as agent:
        (row,) = agent.measure([layer], settings)
    assert row.key == layer.key
    assert row.median_ms > 0


def test_a_second_host_is_let_in_beside_the_first(
    board: SshBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host_home: Path
) -> None:
    first = install(board, name="pi0")
    running = board.agents()
    other_home = tmp_path / "other"
    shutil.copytree(host_home / ".ssh", other_home / ".ssh")
    with monkeypatch.context() as patch:
        patch.setenv("HOME", str(other_home))
        with pytest.raises((AgentUnreachableError, UntrustedError)):
            _describe_with_new_key(first)
        second = install(board)
        assert describe(second).name == "pi0"
        assert (second.id, second.certificate) == (first.id, first.certificate)
    assert describe(first).name == "pi0"
    assert board.agents() == running
    assert len(list((board.state / "hosts").iterdir())) == 2

    assert not leave(board, first)
    with pytest.raises((AgentUnreachableError, UntrustedError)):
        describe(first)
    with monkeypatch.context() as patch:
        patch.setenv("HOME", str(other_home))
        assert describe(second).name == "pi0"
        assert leave(board, second)
    assert board.files() == set()


def test_two_boards_of_one_name(make_board: MakeBoard) -> None:
    said: list[str] = []
    boards = make_board("one"), make_board("two")
    devices = [install(board, name="pi0", said=said) for board in boards]
    with pytest.raises(AmbiguousDeviceError, match=devices[0].id):
        find_paired("pi0")
    assert find_paired(f"pi0@{devices[1].id[:6]}") == devices[1]
    assert [line for line in said if "2 paired boards are named pi0" in line]


def test_what_a_torn_pairing_left_is_no_obstacle(board: SshBoard) -> None:
    """Killed while the keys were sent, and another time while they were moved."""
    for name in ("identity", "identity.new"):
        (board.state / name).mkdir(mode=0o700, parents=True)
        (board.state / name / "device.key").write_text("half of a k")
    device = install(board)
    assert describe(device).machine


@pytest.mark.parametrize("name", ["a b", "-", "x" * 41, "pi0,pi1", "pi0@1", "é", "../x", "a\n"])
def test_a_name_that_cannot_be_used(name: str) -> None:
    with pytest.raises(PairingError, match="cannot be a board's name"):
        Wishes(name=name)


def _describe_with_new_key(device: PairedDevice) -> DeviceDescription:
    host_certificate()
    return describe(device)
