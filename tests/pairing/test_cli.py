from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from metanas.pairing import find_paired
from support.ssh_board import MakeBoard, SshBoard

COMMAND = (sys.executable, "-m", "metanas.cli.profile")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def pair_arguments(board: SshBoard) -> list[str]:
    return ["pair", board.target, "--port", str(board.agent_port), "-i", str(board.key)]


class Watch:
    """What all processes of this machine have on their command lines and in their environments."""

    def __enter__(self) -> Watch:
        self.seen: set[bytes] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.02):
            for process in Path("/proc").iterdir():
                for name in ("cmdline", "environ"):
                    try:
                        self.seen.add((process / name).read_bytes())
                    except OSError:
                        continue


def secret_lines(path: Path) -> list[bytes]:
    """The lines of a private key, without its frame."""
    lines = [line for line in path.read_bytes().splitlines() if not line.startswith(b"--")]
    assert lines
    return lines


def test_no_secret_is_seen_anywhere(make_board: MakeBoard, host_home: Path) -> None:
    board = make_board(start=False)
    board.options = ("LogLevel DEBUG3",)
    board.start()
    with Watch() as watch:
        done = run(*pair_arguments(board), "--name", "pi0", "--json")
        listed = run("devices", "--json", "--timeout-s", "0.1")
    assert done.returncode == 0, done.stderr
    assert any(str(board.state).encode() in words for words in watch.seen)  # it did look
    described = json.loads(done.stdout)
    assert described["name"] == "pi0"
    assert described["description"]["machine"]

    secrets = [
        *secret_lines(board.state / "identity/device.key"),
        *secret_lines(host_home / ".config/metanas/identity/host.key"),
        *secret_lines(board.key),
    ]
    shown = [done.stdout, done.stderr, listed.stdout, listed.stderr]
    logs = [board.folder / "sshd.log", board.state / "agent.log"]
    records = list((host_home / ".config/metanas/paired").iterdir())
    texts = [text.encode() for text in shown] + [path.read_bytes() for path in [*logs, *records]]
    for secret in secrets:
        assert not [text for text in [*texts, *watch.seen] if secret in text]

    left = run("unpair", "pi0", "-i", str(board.key))
    assert left.returncode == 0, left.stderr
    assert "gone from the board" in left.stderr
    assert board.files() == set()


def test_a_person_is_asked_about_a_new_board(make_board: MakeBoard) -> None:
    """At a terminal: the first answer is no, the second yes."""
    board = make_board(known=False)
    for answer, code in ((b"n\n", 1), (b"y\n", 0)):
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [*COMMAND, *pair_arguments(board), "--name", "pi0"],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            os.close(theirs)
            os.write(ours, answer)
            _, said = process.communicate()
            os.close(ours)
        assert process.returncode == code, said
        assert "Trust it?" in said
        assert "SHA256:" in said
    assert find_paired("pi0") is not None


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("pair", "a b"), "error: 'a b' is no SSH target"),
        (("pair", "pi@board", "--name", "local"), "error: 'local' means another device already"),
        (("pair", "pi@board", "--name", "all"), "error: 'all' means another device already"),
        (("pair", "pi@board", "--name", "a/b"), "error: 'a/b' cannot be a board's name"),
        (("unpair", "nobody"), "error: no paired board is named 'nobody'"),
    ],
)
def test_bad_input_is_one_clear_line(
    host_home: Path, arguments: tuple[str, ...], line: str
) -> None:
    done = run(*arguments)
    assert done.returncode == 1
    what, hint = done.stderr.splitlines()
    assert what == line
    assert hint.startswith("  ")


def test_failures_of_a_board_are_one_clear_line(make_board: MakeBoard, host_home: Path) -> None:
    board = make_board(known=False)
    done = run(*pair_arguments(board))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: [127.0.0.1]:{board.port} is not known: its host key is")
    done = run(*pair_arguments(board), "--accept-new-host-key", "--profile", "pi0")
    assert done.returncode == 1
    assert "error: pi0 is a profile for armv6l; this board is" in done.stderr
    assert board.files() == set()
    (board.commands / "python3").unlink()
    board.add_command("python3", "echo 3.9; echo /usr/bin/python3")
    for version in ("3.11", "3.12", "3.13", "3.14"):
        board.add_command(f"python{version}", "exit 127")
    done = run(*pair_arguments(board))
    assert done.returncode == 1
    assert done.stderr.startswith("error: the board's Python is too old: python3 is 3.9")


def test_a_profile_tells_the_agent_what_to_use(board: SshBoard) -> None:
    done = run(*pair_arguments(board), "--name", "rack", "--profile", "gpu-host")
    assert done.returncode == 0, done.stderr
    assert "  profile gpu-host; measure it with: metanas-profile --device rack" in done.stderr
    agents = [
        command
        for process in Path("/proc").glob("[0-9]*/cmdline")
        if b"serve" in (command := process.read_bytes().split(b"\0"))
        and str(board.agent_port).encode() in command
    ]
    assert agents
    assert all(command[-3:-1] == [b"--accelerator", b"cuda"] for command in agents)
    assert run("unpair", "rack", "-i", str(board.key)).returncode == 0


def test_a_board_can_be_forgotten(board: SshBoard) -> None:
    assert run(*pair_arguments(board), "--name", "pi0").returncode == 0
    board.stop()
    gone = run("unpair", "pi0")
    assert gone.returncode == 1
    assert "--forget" in gone.stderr
    assert run("unpair", "pi0", "--forget").returncode == 0
    assert find_paired("pi0") is None


def test_the_agent_is_written_as_one_file(tmp_path: Path) -> None:
    path = tmp_path / "agent.pyz"
    done = run("agent-file", "--out", str(path), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["size_bytes"] == path.stat().st_size
    assert zipfile.is_zipfile(path)


def test_other_commands_do_not_wait_for_ssh() -> None:
    script = "import sys, metanas.cli.profile; print({'paramiko', 'cryptography'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
