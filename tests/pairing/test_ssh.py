from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from metanas.errors import (
    HostKeyChangedError,
    HostKeyUnknownError,
    InsecureKeyError,
    InstallationError,
    PairingError,
    SshAuthenticationError,
    SshUnreachableError,
)
from metanas.pairing.prompts import Prompts
from metanas.pairing.ssh import SshSession
from metanas.pairing.target import SshTarget
from support.ssh_board import MakeBoard, SshBoard, free_port, know, make_key

PASSPHRASE = "correct horse"


def hello(target: str, prompts: Prompts | None = None, *, key: Path | None = None) -> str:
    with SshSession(SshTarget.parse(target), prompts or Prompts(), key_file=key) as session:
        return session.run(["echo", "hello", "there; echo $HOME"]).output


def test_a_command_is_run_as_it_is_written(board: SshBoard) -> None:
    with SshSession(SshTarget.parse(board.target), Prompts(), key_file=board.key) as session:
        done = session.run(["cat"], stdin="one\ntwo")
        assert (done.code, done.output, done.errors) == (0, "one\ntwo", "")
        assert session.run(["echo", "it's; a $HOME"]).output == "it's; a $HOME\n"
        assert session.run(["false"]).code == 1
        missing = session.run(["no-such-command"])
        assert missing.code == 127
        assert "no-such-command" in missing.errors


def test_a_command_that_says_too_much_is_cut_off(board: SshBoard) -> None:
    with SshSession(SshTarget.parse(board.target), Prompts(), key_file=board.key) as session:
        with pytest.raises(InstallationError, match="says too much"):
            session.run(["head", "-c", "3000000", "/dev/zero"])
        assert session.run(["echo", "on"]).output == "on\n"


def test_wrong_key(board: SshBoard, tmp_path: Path) -> None:
    make_key(tmp_path / "wrong")
    with pytest.raises(
        SshAuthenticationError, match=r"none of our SSH keys.*no passwords"
    ) as error:
        hello(board.target, key=tmp_path / "wrong")
    assert "ssh-copy-id" in error.value.hint


def test_no_such_key(board: SshBoard, tmp_path: Path) -> None:
    with pytest.raises(SshAuthenticationError, match="no key file"):
        hello(board.target, key=tmp_path / "none")


def test_a_key_that_others_can_read_is_not_used(board: SshBoard) -> None:
    board.key.chmod(0o644)
    with pytest.raises(InsecureKeyError, match="chmod 600"):
        hello(board.target, key=board.key)


def test_host_key_changed(make_board: MakeBoard, host_home: Path, tmp_path: Path) -> None:
    board = make_board(known=False)
    make_key(tmp_path / "former")
    know(host_home, f"[127.0.0.1]:{board.port} {(tmp_path / 'former.pub').read_text()}")
    asked: list[str] = []
    prompts = Prompts(confirm=lambda question: not asked.append(question), secret=lambda _: "x")
    with pytest.raises(HostKeyChangedError, match=r"has changed.*ssh-keygen -R"):
        hello(board.target, prompts, key=board.key)
    assert asked == []


def test_another_kind_of_host_key_is_a_changed_one(
    make_board: MakeBoard, host_home: Path, tmp_path: Path
) -> None:
    board = make_board(known=False)
    command = ["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-C", "", "-f", str(tmp_path / "ecdsa")]
    subprocess.run(command, check=True)
    know(host_home, f"[127.0.0.1]:{board.port} {(tmp_path / 'ecdsa.pub').read_text()}")
    with pytest.raises((HostKeyChangedError, SshUnreachableError)):
        hello(board.target, Prompts(confirm=lambda _: True), key=board.key)


def test_an_unknown_host_is_declined(make_board: MakeBoard, host_home: Path) -> None:
    board = make_board(known=False)
    with pytest.raises(HostKeyUnknownError, match=r"not known.*--accept-new-host-key"):
        hello(board.target, key=board.key)
    assert not (host_home / ".ssh/known_hosts").exists()


def test_an_accepted_host_is_shown_first_and_remembered(
    make_board: MakeBoard, host_home: Path
) -> None:
    board = make_board(known=False)
    know(host_home, "# a line without an end")
    asked: list[str] = []
    prompts = Prompts(confirm=lambda question: not asked.append(question))
    assert hello(board.target, prompts, key=board.key)
    command = ["ssh-keygen", "-lf", str(board.folder / "host_key.pub")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[1]
    assert len(asked) == 1
    assert shown in asked[0]
    assert hello(board.target, key=board.key)
    known = str(host_home / ".ssh/known_hosts")
    find = ["ssh-keygen", "-F", f"[127.0.0.1]:{board.port}", "-f", known]
    assert subprocess.run(find, capture_output=True, check=False).returncode == 0


def test_nothing_listens(host_home: Path) -> None:
    with pytest.raises(SshUnreachableError, match=r"no SSH server answers at pi@127.0.0.1"):
        hello(f"pi@127.0.0.1:{free_port()}")


def test_no_such_name(host_home: Path) -> None:
    with pytest.raises(
        SshUnreachableError, match=r"no SSH server answers at pi@no-such.invalid:22"
    ):
        hello("pi@no-such.invalid")


def test_another_server_answers(host_home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(SshUnreachableError, match="banner"):
            hello(f"pi@127.0.0.1:{port}")
        thread.join()
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_key_with_a_passphrase_asks_for_it(board: SshBoard) -> None:
    command = ["ssh-keygen", "-q", "-p", "-P", "", "-N", PASSPHRASE, "-f", str(board.key)]
    subprocess.run(command, check=True)
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return PASSPHRASE

    assert hello(board.target, Prompts(secret=answer), key=board.key)
    assert asked == ["Passphrase of your SSH key: "]
    with pytest.raises(SshAuthenticationError):
        hello(board.target, Prompts(secret=lambda _: "wrong"), key=board.key)


@pytest.fixture
def ssh_agent(host_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    if shutil.which("ssh-agent") is None:
        pytest.skip("no ssh-agent here")
    path = tmp_path / "agent.sock"
    with subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL
    ) as process:
        while not path.exists():
            assert process.poll() is None
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        yield
        process.terminate()


def test_the_keys_of_an_ssh_agent_are_used(ssh_agent: None, board: SshBoard) -> None:
    with pytest.raises(SshAuthenticationError):
        hello(board.target)
    subprocess.run(["ssh-add", "-q", str(board.key)], check=True, capture_output=True)
    assert hello(board.target)


def test_the_configuration_says_where_and_who(board: SshBoard, host_home: Path) -> None:
    (host_home / ".ssh/config").write_text(
        f"Host pi\n  HostName 127.0.0.1\n  Port {board.port}\n  User {board.user}\n"
        f"  IdentityFile {board.key}\n"
    )
    target = SshTarget.parse("pi")
    assert (target.user, target.host, target.port) == (board.user, "127.0.0.1", board.port)
    assert SshTarget.parse(str(target)) == target  # what a record keeps finds the key again
    assert str(SshTarget.parse("other@pi:7")) == "other@pi:7"
    assert hello(str(target))


def test_a_board_behind_another_machine_is_not_for_us(host_home: Path) -> None:
    (host_home / ".ssh").mkdir()
    (host_home / ".ssh/config").write_text("Host pi\n  ProxyJump gate\n")
    with pytest.raises(PairingError, match="leads to pi through gate"):
        SshTarget.parse("pi")


def test_a_configuration_that_cannot_be_read_is_named(host_home: Path) -> None:
    (host_home / ".ssh").mkdir()
    (host_home / ".ssh/config").write_text("Host pi\n  \x00nonsense\n")
    with pytest.raises(PairingError, match=r"\.ssh/config"):
        SshTarget.parse("pi")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pi@board.local", "pi@board.local:22"),
        ("pi@board.local:2222", "pi@board.local:2222"),
        ("pi@10.0.0.7", "pi@10.0.0.7:22"),
        ("pi@[fe80::1]:2222", "pi@[fe80::1]:2222"),
        ("pi@[::1]", "pi@[::1]:22"),
    ],
)
def test_targets_are_read(host_home: Path, text: str, shown: str) -> None:
    assert str(SshTarget.parse(text)) == shown


def test_the_user_is_ours_if_not_said(host_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "anna")
    assert SshTarget.parse("board").user == "anna"


@pytest.mark.parametrize(
    "text", ["", "@", "pi@", "a b", "pi@host:", "pi@host:0", "pi@host:65536", "a@b@c", "::1"]
)
def test_what_is_no_target_is_refused(host_home: Path, text: str) -> None:
    with pytest.raises(PairingError, match="is no SSH target"):
        SshTarget.parse(text)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a user with a password")
class TestPassword:
    PASSWORD = "swordfish-7431"

    @pytest.fixture
    def user(self) -> Iterator[str]:
        name = f"metanas{os.getpid()}"
        subprocess.run(["useradd", "--no-create-home", "--shell", "/bin/sh", name], check=True)
        try:
            subprocess.run(["chpasswd"], input=f"{name}:{self.PASSWORD}", text=True, check=True)
            yield name
        finally:
            subprocess.run(["userdel", "--force", name], check=True, capture_output=True)

    @pytest.fixture
    def target(self, user: str, make_board: MakeBoard) -> str:
        board = make_board(start=False)
        board.options = ("PasswordAuthentication yes", "KbdInteractiveAuthentication no")
        board.environment["HOME"] = "/"
        board.start()
        return f"{user}@127.0.0.1:{board.port}"

    def test_it_is_asked_for_where_no_key_is_taken(self, target: str) -> None:
        answers = iter(["wrong", self.PASSWORD])
        asked: list[str] = []

        def answer(question: str) -> str:
            asked.append(question)
            return next(answers)

        assert hello(target, Prompts(secret=answer))
        assert asked == [f"Password of {target}: "] * 2

    def test_wrong_ones_end_in_one_line(self, target: str) -> None:
        with pytest.raises(SshAuthenticationError, match="no password of ours") as error:
            hello(target, Prompts(secret=lambda _: "wrong-secret"))
        assert "wrong-secret" not in str(error.value)

    def test_nobody_is_there_to_ask(self, target: str) -> None:
        with pytest.raises(SshAuthenticationError, match="no password of ours"):
            hello(target)
