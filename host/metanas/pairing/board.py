"""Board: a machine that an SSH session leads to, and its Python."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

from metanas.errors import DiskFullError, InstallationError
from metanas.pairing.interpreter import find_python
from metanas.pairing.ssh import SshSession

_MOST_BYTES = 64 * 1024  # of a file that we read
_NO_SPACE_BYTES = 64 * 1024  # with less than this left, a failed write was a full disk


@dataclass(frozen=True, slots=True)
class Survey:
    """What a board is and has.

    Args:
        machine: architecture, such as `armv6l`.
        hostname: its own name in the network.
        model: what the device tree says, such as `Raspberry Pi Zero W Rev 1.1`; empty if nothing.
        state: the agent's state folder.
        units: the folder of systemd's user units.
        free_bytes: on the disk of the state folder.
        systemd: whether the user has an instance of systemd.
    """

    machine: str
    hostname: str
    model: str
    state: PurePosixPath
    units: PurePosixPath
    free_bytes: int
    systemd: bool


class Board:
    """Runs functions of `on_board` there, and writes files.

    Args:
        session: leads to the board.
        python: path of an interpreter on the board; the usual ones are tried if not given.

    Raises:
        NoPythonError: the board has none.
        PythonTooOldError: the board has only older ones than the agent needs.
    """

    def __init__(self, session: SshSession, *, python: str = "") -> None:
        self._session = session
        self._script = resources.files("metanas.pairing").joinpath("on_board.py").read_text("utf-8")
        self.python, self.python_version = find_python(session, python)

    def survey(self) -> Survey:
        """What it is and has."""
        found = self.call("survey")
        try:
            return Survey(
                machine=str(found["machine"]),
                hostname=str(found["hostname"]),
                model=str(found["model"]),
                state=PurePosixPath(found["state"]),
                units=PurePosixPath(found["units"]),
                free_bytes=int(found["free_bytes"]),
                systemd=bool(found["systemd"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InstallationError(
                f"the board answers nonsense when asked what it is: {found!r:.200}",
                hint=f"see what its {self.python} is",
            ) from error

    def can_run(self, python: str) -> bool:
        """Whether a path leads to an interpreter that starts."""
        return self._session.run([python, "-I", "-c", ""]).code == 0

    def agent_status(self, survey: Survey, port: int) -> tuple[str, bool]:
        """What an agent says that does not stay up, else nothing; and whether it listens."""
        status = self.call("status", state=survey.state, systemd=survey.systemd, port=port)
        if not isinstance(status, dict):
            return f"the board answers nonsense: {status!r:.200}", False
        return str(status.get("complaint", ""))[:500], bool(status.get("listens"))

    def clock_s(self) -> float | None:
        """Seconds since 1970 by its own clock, None if it does not say."""
        done = self._session.run(["date", "+%s"])
        try:
            return float(done.output)
        except ValueError:
            return None

    def call(self, function: str, **arguments: Any) -> Any:
        """Run one function of `on_board` there.

        Raises:
            DiskFullError: it found the disk full.
            InstallationError: it failed.
        """
        plain = {
            name: str(value) if isinstance(value, PurePosixPath) else value
            for name, value in arguments.items()
        }
        done = self._session.run(
            [self.python, "-I", "-", function, json.dumps(plain)], stdin=self._script
        )
        with suppress(ValueError, RecursionError):
            if done.code == 0:
                return json.loads(done.output)
        said = (done.errors.strip().splitlines() or [f"exit code {done.code}"])[-1]
        if "No space left on device" in said:
            raise DiskFullError(f"the board's disk is full: {said}", hint="free some space there")
        raise InstallationError(
            f"{function.replace('_', ' ')} failed on the board: {said}",
            hint="mend that there, then run the same command again",
        )

    def read(self, path: PurePosixPath) -> bytes | None:
        """The content of a small file, None if there is no such file."""
        with self._session.files() as files:
            try:
                with files.open(str(path), "rb") as stream:
                    content: bytes = stream.read(_MOST_BYTES)
            except FileNotFoundError:
                return None
        return content

    def write(self, path: PurePosixPath, content: bytes, *, private: bool = True) -> None:
        """Replace a file as a whole; a private one is never readable by others, not even empty.

        Raises:
            DiskFullError: there is no room.
            InstallationError: it cannot be written.
        """
        aside = path.with_name(f".{path.name}.part")
        with self._session.files() as files:
            try:
                with files.open(str(aside), "wb") as stream:
                    stream.chmod(0o600 if private else 0o644)
                    stream.write(content)
                files.posix_rename(str(aside), str(path))
            except OSError as error:
                reason = self._why_not_written(path, error)
                _remove_quietly(files.remove, str(aside))
                raise reason from error

    def make_folder(self, path: PurePosixPath) -> None:
        """Make a folder that is closed to others; what an earlier try left in it is removed."""
        with self._session.files() as files:
            try:
                for name in files.listdir(str(path)):
                    files.remove(f"{path}/{name}")
            except FileNotFoundError:
                files.mkdir(str(path), 0o700)
            files.chmod(str(path), 0o700)

    def rename(self, path: PurePosixPath, to: PurePosixPath) -> None:
        """Give a file or a folder its final name."""
        with self._session.files() as files:
            files.posix_rename(str(path), str(to))

    def remove(self, path: PurePosixPath) -> None:
        """Remove a file; no error if there is none."""
        with self._session.files() as files:
            _remove_quietly(files.remove, str(path))

    def names(self, folder: PurePosixPath) -> tuple[str, ...]:
        """What is in a folder, sorted."""
        with self._session.files() as files:
            try:
                return tuple(sorted(files.listdir(str(folder))))
            except FileNotFoundError:
                return ()

    def _why_not_written(self, path: PurePosixPath, error: OSError) -> InstallationError:
        """SFTP has no word for a full disk: it says 'Failure'."""
        free_bytes = self.survey().free_bytes
        if free_bytes >= _NO_SPACE_BYTES:
            return InstallationError(
                f"cannot write {path} on the board: {error}", hint="see who may write there"
            )
        return DiskFullError(
            f"the board's disk is full: {path} could not be written, {free_bytes:,} bytes are left",
            hint="free some space there",
        )


def _remove_quietly(remove: Callable[[str], None], path: str) -> None:
    with suppress(OSError):
        remove(path)
