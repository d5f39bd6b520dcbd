"""Which Python of a board is taken, and what is said where none will do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metanas.errors import NoPythonError, PythonTooOldError
from metanas.pairing.interpreter import find_python
from metanas.pairing.prompts import Prompts
from metanas.pairing.ssh import SshSession
from metanas.pairing.target import SshTarget
from support.ssh_board import MakeBoard, SshBoard
from support.ssh_pairing import install, words


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
    assert all(str(chosen).encode() in words(agent) for agent in board.agents())
    chosen.unlink()
    install(board)
    assert not any(str(chosen).encode() in words(agent) for agent in board.agents())
