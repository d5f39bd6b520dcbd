"""A connection to an agent: one TCP socket on which hello has been said."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TypeVar

from metanas import __version__
from metanas.errors import AgentUnreachableError, DeviceBusyError, ProtocolError
from metanas_agent.messages import Busy, Error, Hello, Message, Welcome
from metanas_agent.protocol import (
    HELLO_LIMIT_BYTES,
    VERSION,
    check_version,
    encode,
    read_message,
)

M = TypeVar("M", bound=Message)

_CONNECT_LIMIT_S = 10.0
_GRACE_S = 30.0  # the agent itself answers within its limit


class Connection:
    """Sends requests to an agent and reads its replies.

    Args:
        host: name or address.
        port: where the agent listens.

    Raises:
        AgentUnreachableError: nothing answers there, or not in time.
        VersionMismatchError: the agent speaks another major version of the protocol.
        ProtocolError: what answers is no agent.
    """

    def __init__(self, host: str, port: int) -> None:
        self._where = f"{host}:{port}"
        self._limit_s = _CONNECT_LIMIT_S
        try:
            self._socket = socket.create_connection((host, port), timeout=_CONNECT_LIMIT_S)
        except OSError as error:
            raise AgentUnreachableError(
                f"no agent answers at {self._where}: {error.strerror or error}",
                hint="start one there with: metanas-agent serve",
            ) from error
        self._stream = self._socket.makefile("rb")
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._greet()
        except BaseException:
            self.close()
            raise

    def _greet(self) -> None:
        self.send(Hello(version=VERSION, program=f"metanas {__version__}"))
        welcome = self.receive(Welcome, limit_bytes=HELLO_LIMIT_BYTES)
        check_version(welcome.version, us="host", them="agent")
        self._limit_s = welcome.limit_s + _GRACE_S

    def send(self, message: Message, *, work_s: float = 0.0) -> None:
        """Send a message; each reply may take the agent's own limit and `work_s` more.

        Raises:
            AgentUnreachableError: the connection is lost.
            FrameTooLargeError: the message is too long.
        """
        frame = encode(message)
        try:
            self._socket.settimeout(self._limit_s + work_s)
            self._socket.sendall(frame)
        except OSError as error:
            raise self._lost(error) from error

    def receive(self, *kinds: type[M], limit_bytes: int | None = None) -> M:
        """The next message, which must be of one of these kinds.

        Raises:
            AgentUnreachableError: the connection is lost, or the agent stays silent.
            DeviceBusyError: the agent answers that it is busy.
            MetanasError: the agent answers with an error.
            ProtocolError: anything else arrives.
        """
        limit = {} if limit_bytes is None else {"limit_bytes": limit_bytes}
        try:
            message = read_message(self._stream, **limit)
        except OSError as error:
            raise self._lost(error) from error
        if message is None:
            raise self._lost("it closed the connection")
        if isinstance(message, Error):
            raise message.exception()
        if isinstance(message, Busy):
            raise DeviceBusyError(
                f"the agent at {self._where} is busy: a job has been running for "
                f"{message.running_s:.0f} s",
                hint="wait for it to end",
            )
        if not isinstance(message, kinds):
            raise ProtocolError(f"the agent at {self._where} answered {message.type}")
        return message

    def close(self) -> None:
        """Hang up, which also stops a job."""
        with suppress(OSError):
            self._stream.close()
        with suppress(OSError):
            self._socket.close()

    def _lost(self, why: OSError | str) -> AgentUnreachableError:
        text = why if isinstance(why, str) else why.strerror or str(why)
        return AgentUnreachableError(
            f"lost the agent at {self._where}: {text}",
            hint="see whether it still runs, then run the same command again",
        )
