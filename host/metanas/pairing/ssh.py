"""SshSession: one SSH connection, to run commands and to move files."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paramiko

from metanas.closing import Closing
from metanas.errors import (
    InsecureKeyError,
    InstallationError,
    SshAuthenticationError,
    SshUnreachableError,
)
from metanas.pairing.known_hosts import AskAboutNewKeys, changed, load_known_hosts
from metanas.pairing.prompts import Prompts
from metanas.pairing.target import SshTarget

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # else it writes to the terminal

_CONNECT_LIMIT_S = 20.0
_COMMAND_LIMIT_S = 120.0
_MOST_BYTES = 1024 * 1024  # that a command may say
_PASSWORD_TRIES = 3
_PASSWORD_METHODS = {"password", "keyboard-interactive"}


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended."""

    code: int
    output: str
    errors: str


class SshSession(Closing):
    """Connects at once.

    Args:
        target: the server and who we are there.
        prompts: asked about a new host key, and for a password where no key is taken.
        key_file: a private key to use instead of the usual ones.

    Raises:
        HostKeyChangedError: the server is not the one that is known.
        HostKeyUnknownError: it is new, and was not accepted.
        InsecureKeyError: others can read `key_file`.
        SshAuthenticationError: it lets us in by no means.
        SshUnreachableError: nothing answers, or no SSH server does.
    """

    def __init__(
        self, target: SshTarget, prompts: Prompts, *, key_file: Path | None = None
    ) -> None:
        self._target = target
        self._client = paramiko.SSHClient()
        self._files: paramiko.SFTPClient | None = None
        try:
            load_known_hosts(self._client)
            self._client.set_missing_host_key_policy(AskAboutNewKeys(prompts))
            if not self._try_keys(prompts, _key_files(target, key_file), only=key_file is not None):
                self._try_password(prompts)
        except BaseException:
            self._client.close()
            raise

    def run(self, command: Sequence[str], *, stdin: str = "") -> Completed:
        """Run a command and wait for its end; `stdin` is all of its standard input.

        Raises:
            InstallationError: it takes too long, or says too much.
            SshUnreachableError: the connection is lost.
        """
        with self._translated(command[0]):
            streams = self._client.exec_command(shlex.join(command), timeout=_COMMAND_LIMIT_S)
            to_command, *from_command = streams
            channel = to_command.channel
            try:
                to_command.write(stdin)
                channel.shutdown_write()
            except OSError:
                if not (channel.closed and self._is_up()):
                    raise  # else it ended without reading what it was given
            said = []
            for stream in from_command:
                data = stream.read(_MOST_BYTES)
                said.append(data.decode(errors="replace"))
                if len(data) == _MOST_BYTES:
                    channel.close()
                    raise InstallationError(f"{self._target}: {command[0]} says too much")
            if not channel.status_event.wait(_COMMAND_LIMIT_S):
                raise TimeoutError
            return Completed(channel.recv_exit_status(), *said)

    @contextmanager
    def files(self) -> Iterator[paramiko.SFTPClient]:
        """The board's files, by SFTP.

        Raises:
            InstallationError: the server offers no SFTP.
        """
        if self._files is None:
            self._files = self._open_files()
        with self._translated("the file transfer"):
            yield self._files

    def _open_files(self) -> paramiko.SFTPClient:
        try:
            files = self._client.open_sftp()
        except (paramiko.SSHException, EOFError) as error:
            raise InstallationError(
                f"{self._target} offers no file transfer (SFTP): {error}",
                hint="install openssh-sftp-server there, or enable it in its sshd_config",
            ) from error
        files.get_channel().settimeout(_COMMAND_LIMIT_S)
        return files

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def _try_keys(self, prompts: Prompts, keys: list[str], *, only: bool) -> bool:
        """Connect, and offer the keys and those of the agent; whether one was taken."""
        passphrase = None
        while True:
            try:
                self._connect(keys, passphrase, only=only)
            except paramiko.PasswordRequiredException:
                if passphrase is not None:
                    return False
                passphrase = prompts.secret("Passphrase of your SSH key: ")
                if not passphrase:
                    return False
            except paramiko.BadHostKeyException as error:
                raise changed(error) from error
            except paramiko.AuthenticationException:
                return False
            except (OSError, EOFError, paramiko.SSHException) as error:
                if self._is_up():
                    return False  # there was no key to offer, or one that cannot be used
                reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
                raise SshUnreachableError(
                    f"no SSH server answers at {self._target}: {reason}",
                    hint="is the board on and in this network, and SSH switched on there?",
                ) from error
            else:
                return True

    def _is_up(self) -> bool:
        """Whether a server answers that is the one we mean, though it may not have let us in."""
        transport = self._client.get_transport()
        return transport is not None and transport.is_active()

    def _connect(self, keys: list[str], passphrase: str | None, *, only: bool) -> None:
        target = self._target
        proxy = paramiko.ProxyCommand(target.proxy_command) if target.proxy_command else None
        self._client.connect(
            target.host,
            target.port,
            target.user,
            key_filename=keys or None,
            passphrase=passphrase,
            look_for_keys=not only,
            allow_agent=not only,
            timeout=_CONNECT_LIMIT_S,
            banner_timeout=_CONNECT_LIMIT_S,
            auth_timeout=_CONNECT_LIMIT_S,
            sock=proxy,
        )

    def _try_password(self, prompts: Prompts) -> None:
        transport = self._client.get_transport()
        user = self._target.user
        try:
            transport.auth_none(user)
        except paramiko.BadAuthenticationType as error:
            methods = set(error.allowed_types)
        except (paramiko.SSHException, EOFError, OSError):
            methods = set()  # it has had enough of us
        else:
            return
        tries = _PASSWORD_TRIES if methods & _PASSWORD_METHODS else 0
        for _ in range(tries):
            password = prompts.secret(f"Password of {self._target}: ")
            if not password:
                break
            try:
                transport.auth_password(user, password)
            except (paramiko.SSHException, EOFError, OSError):
                continue
            return
        raise SshAuthenticationError(
            f"{self._target} takes none of our SSH keys"
            + (" and no password of ours" if tries else ", and no passwords at all"),
            hint=f"copy a key there (ssh-copy-id -p {self._target.port} {user}@"
            f"{self._target.host}), or name one that it takes: --identity-file",
        )

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise InstallationError(
                f"{self._target}: {what} took longer than {_COMMAND_LIMIT_S:.0f} s",
                hint="see what the board is doing, then pair again",
            ) from error
        except (EOFError, ConnectionError, paramiko.SSHException) as error:
            raise SshUnreachableError(
                f"lost the SSH connection to {self._target}: {error or type(error).__name__}",
                hint="see whether the board is still up, then run the same command again",
            ) from error


def _key_files(target: SshTarget, chosen: Path | None) -> list[str]:
    if chosen is None:
        return [str(path) for path in target.key_files if path.exists()]
    if not chosen.is_file():
        raise SshAuthenticationError(f"no key file {chosen}", hint="name a private SSH key")
    if chosen.stat().st_mode & 0o077:
        raise InsecureKeyError(f"others can read {chosen}", hint=f"chmod 600 {chosen}")
    return [str(chosen)]
