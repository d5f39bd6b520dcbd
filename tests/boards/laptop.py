"""A user's account on this machine, from which boards are paired and measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from boards.board import Board

_LIMIT_S = 280.0
_LEFT_OUT = ("SSH_AUTH_SOCK", "XDG_CONFIG_HOME", "XDG_DATA_HOME")


class Laptop:
    """Commands with a home folder of their own, so with their own keys, pairings and tables."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            **{name: text for name, text in os.environ.items() if name not in _LEFT_OUT},
            "HOME": str(home),
            "COLUMNS": "200",
        }

    @property
    def records(self) -> Path:
        """Folder of what it knows of the boards that it is paired with."""
        return self.home / ".config" / "metanas" / "paired"

    def use(self, patch: pytest.MonkeyPatch) -> None:
        """Let this process be its user's."""
        patch.setenv("HOME", str(self.home))
        for name in _LEFT_OUT:
            patch.delenv(name, raising=False)

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        """Start `metanas-profile`, or with `program=` another of our commands."""
        module = {"metanas-profile": "metanas.cli.profile", "metanas": "metanas"}
        program = options.pop("program", "metanas-profile")
        return subprocess.Popen(
            [sys.executable, "-m", module[program], *map(str, arguments)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, *arguments: object, **options: Any) -> tuple[int, str, str]:
        """Run such a command: its exit code, what it printed, and what it complained of."""
        with self.start(*arguments, **options) as process:
            printed, complaints = process.communicate(timeout=_LIMIT_S)
        return process.returncode, printed, complaints

    def must(self, *arguments: object, **options: Any) -> str:
        """Run such a command, which has to succeed: what it printed."""
        code, printed, complaints = self.run(*arguments, **options)
        assert code == 0, printed + complaints
        return printed

    def pair(self, board: Board, *arguments: object) -> dict[str, Any]:
        """Pair with a board that is known to be itself; what the command says of it."""
        self.trust(board)
        printed = self.must("pair", *self.target(board), "--json", *arguments)
        paired: dict[str, Any] = json.loads(printed[printed.index("{") :])
        return paired

    def trust(self, board: Board) -> None:
        """Know the board's host key, and no other."""
        known_hosts = self.home / ".ssh" / "known_hosts"
        known_hosts.parent.mkdir(mode=0o700, exist_ok=True)
        known_hosts.write_text(board.known_hosts.read_text())

    @staticmethod
    def target(board: Board) -> tuple[str, ...]:
        """The arguments that say where the board is, and who asks."""
        return (f"{board.user}@{board.address}", "--identity-file", str(board.key_file))

    def devices(self) -> dict[str, dict[str, Any]]:
        """What `metanas-profile devices` lists: paired boards by their id, the others by name.

        Other boards may be in the network, and bear any name.
        """
        entries = json.loads(self.must("devices", "--json"))["entries"]
        return {entry["id"] or entry["name"]: entry for entry in entries}
