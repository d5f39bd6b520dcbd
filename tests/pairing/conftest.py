"""Boards to pair with, and a host that knows nobody."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.ssh_board import SSHD, MakeBoard, SshBoard, free_port, know, make_key


@pytest.fixture
def host_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder for the host, empty, with nothing inherited from the person who tests."""
    home = tmp_path / "host"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "SSH_AUTH_SOCK"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def make_board(tmp_path: Path, host_home: Path) -> Iterator[MakeBoard]:
    """Makes boards that the host knows and has a key for; started unless told otherwise."""
    if SSHD is None:
        pytest.skip("no sshd here: install openssh-server")
    made: list[SshBoard] = []

    def make(name: str = "board", *, known: bool = True, start: bool = True) -> SshBoard:
        folder = tmp_path / name
        for part in ("home", "bin"):
            (folder / part).mkdir(parents=True)
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True)
        board = SshBoard(folder, user.stdout.strip(), free_port(), free_port())
        made.append(board)
        make_key(folder / "host_key")
        make_key(board.key)
        shutil.copy(folder / "key.pub", folder / "authorized_keys")
        if known:
            know(host_home, board.known_hosts_line)
        if start:
            board.start()
        return board

    yield make
    for board in made:
        board.stop()


@pytest.fixture
def board(make_board: MakeBoard) -> SshBoard:
    return make_board()
