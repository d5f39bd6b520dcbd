from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

import pytest

from metanas.devices import Address, AgentDevice, DeviceDescription, TlsEndpoint
from metanas.errors import (
    AgentUnreachableError,
    AmbiguousDeviceError,
    DiskFullError,
    InsecureKeyError,
    InstallationError,
    NoPythonError,
    PairingError,
    PythonTooOldError,
    SshUnreachableError,
    UntrustedError,
)
from metanas.pairing import PairedDevice, client_context, find_paired, paired_devices
from metanas.pairing.board import Board
from metanas.pairing.interpreter import find_python
from metanas.pairing.pair import Wishes, pair, unpair
from metanas.pairing.prompts import Prompts
from metanas.pairing.ssh import SshSession
from metanas.pairing.target import SshTarget
from metanas.pairing.zipapp import AgentFile, build_agent_pyz
from metanas_agent.layers import ConvLayer
from metanas_agent.timer import TimerSettings
from support.ssh_board import SshBoard, needs_root

MakeBoard = Callable[..., SshBoard]


def _open(device: PairedDevice) -> AgentDevice:
    address = Address.parse(device.address)
    assert address
    endpoint = TlsEndpoint(address.host, address.port, client_context(device), device.fingerprint)
    return AgentDevice(device.name, endpoint)


def describe(device: PairedDevice) -> DeviceDescription:
    with _open(device) as agent:
        return agent.describe()


def reach(device: PairedDevice) -> None:
    describe(device)


def install(
    board: SshBoard,
    *,
    said: list[str] | None = None,
    reach: Callable[[PairedDevice], None] = reach,
    name: str = "",
    python: str = "",
) -> PairedDevice:
    """Pair with the board, as the command does."""
    return pair(
        board.target,
        Wishes(name=name, port=board.agent_port, python=python, key_file=board.key),
        prompts=Prompts(),
        say=(said if said is not None else []).append,
        profile_for=lambda _: "",
        serve_options=lambda _: (),
        reach=reach,
    )


def leave(board: SshBoard, device: PairedDevice) -> bool:
    return unpair(device, prompts=Prompts(), key_file=board.key)


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
    (agent,) = [pid for pid in board.agents() if b"/bin/sh" not in _words(pid)]
    os.kill(agent, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while True:
        try:
            describe(device)
            break
        except AgentUnreachableError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert agent not in board.agents()


def test_the_one_file_agent_measures_with_what_is_installed(board: SshBoard) -> None:
    """Its worker starts from within the file, and finds the board's onnxruntime."""
    device = install(board, python=sys.executable)
    layer = ConvLayer(3, 8, 8, out_channels=4, kernel=3)
    settings = TimerSettings(budget_ms=5.0)
    with _open(device) as agent:
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


def test_no_python(make_board: MakeBoard) -> None:
    board = make_board(start=False)
    board.environment["PATH"] = str(board.commands)
    board.start()
    with pytest.raises(NoPythonError, match=r"no Python answers.*python3\.11.*--python"):
        install(board)
    assert board.files() == set()


@pytest.mark.parametrize("answer", ["echo nonsense", "exit 1", "echo 3.11", "echo x.y; echo /p"])
def test_something_that_is_no_python(make_board: MakeBoard, answer: str) -> None:
    board = make_board(start=False)
    board.environment["PATH"] = str(board.commands)
    board.add_command("python3", answer)
    board.start()
    with pytest.raises(NoPythonError):
        install(board)


def test_python_too_old(make_board: MakeBoard) -> None:
    board = make_board(start=False)
    board.environment["PATH"] = str(board.commands)
    board.add_command("python3", "echo 3.9; echo /usr/bin/python3")
    board.start()
    with pytest.raises(PythonTooOldError, match=r"python3 is 3\.9; the agent needs 3\.11"):
        install(board)
    assert board.files() == set()


def test_a_python_without_its_library(make_board: MakeBoard) -> None:
    """As Debian's python3-minimal."""
    board = make_board(start=False)
    board.environment["PATH"] = str(board.commands)
    board.add_command("python3", "echo 3.11; echo /usr/bin/python3; echo \"No module named 'ssl'\"")
    board.start()
    with pytest.raises(NoPythonError, match="not whole: python3: No module named 'ssl'"):
        install(board)


@pytest.mark.parametrize("answer", ["[]", "{}", '{"machine": 1}', "nonsense", "[" * 50_000])
def test_a_board_that_answers_nonsense(make_board: MakeBoard, answer: str) -> None:
    board = make_board(start=False)
    (board.folder / "answer").write_text(answer)
    question = f'case "$2" in -c) echo 3.11; echo "$0";; *) cat {board.folder}/answer;; esac'
    board.add_command("python3", question)
    board.start()
    with pytest.raises(InstallationError, match=r"nonsense|survey failed"):
        install(board)


def test_no_file_transfer(make_board: MakeBoard) -> None:
    board = make_board(start=False)
    board.file_transfer = "/bin/false"
    board.start()
    with pytest.raises(InstallationError, match=r"no file transfer \(SFTP\).*sftp-server"):
        install(board)


def test_a_newer_python_beside_an_old_one_is_found(make_board: MakeBoard) -> None:
    board = make_board()
    real = (board.commands / "python3").readlink()
    (board.commands / "python3").unlink()
    board.add_command("python3", "echo 3.9; echo /usr/bin/python3")
    (board.commands / "python3.14").symlink_to(real)
    with SshSession(SshTarget.parse(board.target), Prompts(), key_file=board.key) as session:
        path, version = find_python(session)
    assert Path(path).name == "python3.14"
    assert version == f"{sys.version_info.major}.{sys.version_info.minor}"


def test_the_python_that_is_named_is_used(board: SshBoard) -> None:
    chosen = board.folder / "my python"
    chosen.symlink_to((board.commands / "python3").readlink())
    install(board, python=str(chosen))
    assert all(str(chosen).encode() in _words(agent) for agent in board.agents())
    chosen.unlink()
    install(board)
    assert not any(str(chosen).encode() in _words(agent) for agent in board.agents())


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


def test_a_board_that_is_gone_is_kept_until_it_is_forgotten(board: SshBoard) -> None:
    device = install(board)
    board.stop()
    with pytest.raises(SshUnreachableError, match="--forget"):
        leave(board, device)
    assert paired_devices() == (device,)


def test_another_board_at_the_same_place_is_left_alone(board: SshBoard) -> None:
    device = install(board)
    path = board.state / "identity/device.json"
    path.write_text(path.read_text().replace(device.id, "f" * 16))
    with pytest.raises(PairingError, match="is another board now"):
        leave(board, device)
    assert board.agents()


@pytest.mark.parametrize("name", ["a b", "-", "x" * 41, "pi0,pi1", "pi0@1", "é", "../x", "a\n"])
def test_a_name_that_cannot_be_used(name: str) -> None:
    with pytest.raises(PairingError, match="cannot be a board's name"):
        Wishes(name=name)


def _describe_with_new_key(device: PairedDevice) -> DeviceDescription:
    from metanas.pairing import host_certificate

    host_certificate()
    return describe(device)


def _words(process: int) -> list[bytes]:
    return Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
