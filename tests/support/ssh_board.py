"""SshBoard: a real sshd on loopback whose sessions have a home folder and commands of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make such a board")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(command, check=True)


@dataclass
class SshBoard:
    """An sshd and what its sessions see.

    `home` is the sessions' home folder, `commands` comes first in their PATH, `key` opens it;
    `launcher` is a command that starts the sshd, `file_transfer` serves SFTP.
    """

    folder: Path
    user: str
    port: int
    agent_port: int
    process: subprocess.Popen[bytes] | None = None
    options: tuple[str, ...] = ()
    launcher: tuple[str, ...] = ()
    file_transfer: str = "internal-sftp"
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def commands(self) -> Path:
        return self.folder / "bin"

    @property
    def key(self) -> Path:
        return self.folder / "key"

    @property
    def state(self) -> Path:
        return self.home / ".local/share/metanas-agent"

    @property
    def target(self) -> str:
        return f"{self.user}@127.0.0.1:{self.port}"

    @property
    def known_hosts_line(self) -> str:
        public = (self.folder / "host_key.pub").read_text()
        return f"[127.0.0.1]:{self.port} {public}"

    def add_command(self, name: str, script: str) -> None:
        """Put a command in front of the board's own."""
        path = self.commands / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def files(self) -> set[str]:
        return {str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file()}

    def agents(self) -> list[int]:
        """Processes that have to do with this board's agent."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if any(word.startswith(bytes(self.state)) for word in words):
                    found.append(int(entry.name))
        return found

    def start(self) -> None:
        python = Path(sys.executable).resolve()
        if not (self.commands / "python3").exists() and "PATH" not in self.environment:
            (self.commands / "python3").symlink_to(python)
        self.environment.setdefault("HOME", str(self.home))
        self.environment.setdefault("PATH", f"{self.commands}:/usr/local/bin:/usr/bin:/bin")
        variables = " ".join(f"{name}={value}" for name, value in self.environment.items())
        config = self.folder / "sshd_config"
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.folder}/host_key",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            "PidFile none",
            "StrictModes no",
            "UsePAM no",
            f"Subsystem sftp {self.file_transfer}",
            f"SetEnv {variables}",
            *self.options,
        ]
        if not any(line.startswith("PasswordAuthentication") for line in self.options):
            lines.append("PasswordAuthentication no")
            lines.append("KbdInteractiveAuthentication no")
        config.write_text("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        assert SSHD
        log = self.folder / "sshd.log"
        command = [*self.launcher, SSHD, "-D", "-f", str(config), "-E", str(log)]
        self.process = subprocess.Popen(command)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError(log.read_text())

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
        for process in self.agents():
            os.kill(process, 9)


MakeBoard = Callable[..., SshBoard]
"""The type of the fixture `make_board`."""


def know(home: Path, line: str) -> None:
    """Add a line to the host's known_hosts."""
    path = home / ".ssh/known_hosts"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with path.open("a") as stream:
        stream.write(line)
