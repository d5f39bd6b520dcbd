"""What can be wrong with a board that is paired: each is named, or is no obstacle."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

import pytest

from metanas.errors import (
    AgentUnreachableError,
    DiskFullError,
    InsecureKeyError,
    InstallationError,
)
from metanas.pairing import PairedDevice, paired_devices
from metanas.pairing.board import Board
from metanas.pairing.prompts import Prompts
from metanas.pairing.ssh import SshSession
from metanas.pairing.target import SshTarget
from support.ssh_board import MakeBoard, SshBoard, needs_root
from support.ssh_pairing import describe, install


@pytest.mark.parametrize("answer", ["[]", "{}", '{"machine": 1}', "nonsense", "[" * 50_000])
def test_a_board_that_answers_nonsense(make_board: MakeBoard, answer: str) -> None:
    board = make_board(start=False)
    (board.folder / "answer").write_text(answer)
    question = f'case "$2" in -c) echo 3.11; echo "$0";; *) cat {board.folder}/answer;; esac'
    board.add_command("python3", question)
    board.start()
    with pytest.raises(InstallationError, match=r"nonsense|survey failed"):
        install(board)


def test_a_command_that_reads_nothing_of_its_input(board: SshBoard) -> None:
    with SshSession(SshTarget.parse(board.target), Prompts(), key_file=board.key) as session:
        done = session.run(("echo", "done"), stdin="never read" * 1_000_000)
    assert (done.code, done.output) == (0, "done\n")


def test_no_file_transfer(make_board: MakeBoard) -> None:
    board = make_board(start=False)
    board.file_transfer = "/bin/false"
    board.start()
    with pytest.raises(InstallationError, match=r"no file transfer \(SFTP\).*sftp-server"):
        install(board)


@contextmanager
def small_disk(board: SshBoard, size: str) -> Iterator[None]:
    board.state.mkdir(parents=True)
    where = str(board.state)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", where], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", where], check=True)


@needs_root
def test_disk_full(board: SshBoard) -> None:
    with small_disk(board, "256k"):
        with pytest.raises(DiskFullError, match=r"disk is full.*free some space"):
            install(board)
        assert board.files() == set()


@needs_root
def test_disk_full_while_a_file_is_sent(board: SshBoard) -> None:
    with small_disk(board, "256k"):
        path = PurePosixPath(board.state / "large")
        with SshSession(SshTarget.parse(board.target), Prompts(), key_file=board.key) as session:
            away = Board(session)
            away.write(path, b"before")
            with pytest.raises(DiskFullError, match="large could not be written"):
                away.write(path, bytes(1024 * 1024))
            assert away.read(path) == b"before"
        assert board.files() == {str((board.state / "large").relative_to(board.home))}


def test_a_wrong_clock_is_no_obstacle(board: SshBoard) -> None:
    said: list[str] = []
    board.add_command("date", "echo 86400")
    assert describe(install(board, said=said)).machine
    assert [line for line in said if "clock is wrong (1970-01-02)" in line]


@pytest.mark.parametrize("date", ["exit 1", "echo today", "echo"])
def test_a_clock_that_says_nothing(board: SshBoard, date: str) -> None:
    board.add_command("date", date)
    with SshSession(SshTarget.parse(board.target), Prompts(), key_file=board.key) as session:
        assert Board(session).clock_s() is None


def test_a_port_that_is_taken_is_named(board: SshBoard) -> None:
    with socket.create_server(("127.0.0.1", board.agent_port)) as server:

        def hang_up() -> None:
            with suppress(OSError):  # of the server's end
                while True:
                    server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            with pytest.raises(InstallationError, match=f"cannot listen on .*:{board.agent_port}"):
                install(board)
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_an_agent_behind_a_firewall_is_named(
    board: SshBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metanas.pairing.service._REACH_LIMIT_S", 0.0)

    def blocked(device: PairedDevice) -> None:
        raise AgentUnreachableError("no answer")

    with pytest.raises(InstallationError, match=f"cannot be reached.*TCP port {board.agent_port}"):
        install(board, reach=blocked)
    assert len(paired_devices()) == 1  # so that it can be unpaired


def test_a_host_key_that_others_can_read_stops_it(board: SshBoard, host_home: Path) -> None:
    install(board)
    (host_home / ".config/metanas/identity/host.key").chmod(0o644)
    with pytest.raises(InsecureKeyError, match=r"host\.key"):
        install(board)


def test_a_board_key_that_others_can_read_stops_the_agent(board: SshBoard) -> None:
    install(board)
    (board.state / "identity/device.key").chmod(0o644)
    with pytest.raises(InstallationError, match=r"does not start.*device\.key.*chmod 600"):
        install(board, name="other")
