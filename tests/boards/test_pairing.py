"""`metanas-profile pair` and `unpair` on boards of another architecture, from first to last."""

from __future__ import annotations

import os
import shutil
import signal

import pytest

from boards.board import STATE
from boards.conftest import ARMEL
from support.agent_process import wait_for

pytestmark = [pytest.mark.boards, pytest.mark.timeout(900)]


def test_one_command_installs_the_agent_on_armel(laptop, armel_board):
    paired = laptop.pair(armel_board)
    assert (paired["name"], paired["profile"]) == ("pi0", "pi0")
    assert (paired["description"]["machine"], paired["description"]["source"]) == (
        *("armv6l", "emulated"),
    )
    assert set(paired["description"]["runtimes"]) == {"native"}
    assert "No module named 'numpy'" in paired["description"]["unavailable"]["onnx"]


def test_one_command_installs_the_agent_on_arm64(laptop, arm64_board):
    paired = laptop.pair(arm64_board, "--profile", "pi4")
    assert (paired["name"], paired["profile"]) == ("pi4", "pi4")
    assert (paired["description"]["machine"], paired["description"]["source"]) == (
        *("aarch64", "emulated"),
    )
    assert set(paired["description"]["runtimes"]) == {"native", "onnx"}


def test_what_is_secret_on_the_board_is_closed_to_others(pi0):
    modes = pi0.ssh(
        *("stat", "-c", "%a", STATE, f"{STATE}/identity", f"{STATE}/identity/device.key")
    )
    assert modes.split() == ["700", "700", "600"]


def test_pairing_again_leaves_the_agent_alone(laptop, pi0):
    agent = pi0.agent()
    laptop.pair(pi0)
    assert pi0.agent() == agent is not None


def test_a_killed_agent_comes_back(laptop, pi0):
    killed = pi0.agent()
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: pi0.agent() not in (None, killed))
    wait_for(lambda: laptop.devices()[pi0.device_id()]["state"] == "free")


def test_after_a_reboot_the_same_command_starts_it_again(laptop, pi0):
    before = pi0.device_id()
    pi0.reboot()
    assert laptop.devices()[before]["state"] == "unreachable"
    assert laptop.pair(pi0)["id"] == before
    assert pi0.agent()


def test_a_changed_host_key_stops_it_before_anything_is_said(laptop, pi0):
    pi0.make_host_key()
    pi0.reboot()
    code, _, complaint = laptop.run("pair", *laptop.target(pi0))
    assert code == 1
    assert f"the host key of {pi0.address} has changed" in complaint
    assert pi0.agent() is None
    laptop.pair(pi0)  # which trusts the new key


def test_a_host_that_was_never_paired_gets_no_answer(laptop, new_laptop, new_board, pi0):
    """Not even with a key of its own and all that the paired host knows of the board."""
    id_ = pi0.device_id()
    with new_board("elsewhere", ARMEL) as other:
        new_laptop.pair(other)
    shutil.copy(laptop.records / f"{id_}.json", new_laptop.records)
    entry = new_laptop.devices()[id_]
    assert entry["state"] == "unreachable"
    assert laptop.devices()[id_]["state"] == "free"


def test_two_boards_of_one_name_are_told_apart(laptop, pi0, new_board):
    first = pi0.device_id()
    with new_board("pi0", ARMEL) as other:
        second = laptop.pair(other)["id"]
        assert second != first
        code, _, complaint = laptop.run("--device", "pi0")
        assert code == 1
        assert first in complaint
        assert second in complaint
        laptop.must("unpair", second, "--identity-file", other.key_file)
        assert laptop.devices()[first]["state"] == "free"


def test_unpairing_leaves_nothing_behind(new_laptop, new_board):
    with new_board("leaving", ARMEL) as board:
        before = board.files()
        new_laptop.pair(board)
        assert len(board.files()) > len(before)
        new_laptop.must("unpair", "leaving", "--identity-file", board.key_file)
        assert board.files() == before
        assert {command[0] for command in board.processes().values()} == {"/usr/sbin/sshd"}
