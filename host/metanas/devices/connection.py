"""A connection to an agent, on which hello has been said and signs of life are sent."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import TypeVar

from metanas import __version__
from metanas.devices.endpoint import Endpoint
from metanas.devices.stream import Stream
from metanas.errors import (
    AgentUnreachableError,
    DeviceBusyError,
    MetanasError,
    ProtocolError,
    UntrustedError,
    VersionMismatchError,
)
from metanas_agent.message import Message
from metanas_agent.messages import Alive, Busy, Error, Hello, Welcome
from metanas_agent.protocol import (
    FRAME_LIMIT_BYTES,
    GREETING_MAJOR,
    HEARTBEATS,
    HELLO_LIMIT_BYTES,
    OLDER_VERSION,
    VERSION,
    agreed_major,
    encode,
    read_message,
)
from metanas_agent.wire import Version

M = TypeVar("M", bound=Message)

_CONNECT_LIMIT_S = 10.0
_GRACE_S = 30.0  # the agent itself answers within its limit


class Connection:
    """Sends requests to an agent and reads its replies.

    Args:
        endpoint: where the agent listens.
        session: a secret text; the agent lets a new connection of it take over from a lost one.

    Raises:
        AgentUnreachableError: nothing answers there, or not in time.
        UntrustedError: what answers is not the board that was paired, or does not know us.
        VersionMismatchError: the agent speaks no version of the protocol that we speak.
        ProtocolError: what answers is no agent.
    """

    def __init__(self, endpoint: Endpoint, *, session: str = "") -> None:
        self._endpoint = endpoint
        try:
            self._stream, welcome = self._greeted(VERSION, session)
        except VersionMismatchError as refused:
            try:
                self._stream, welcome = self._greeted(OLDER_VERSION, session)
            except VersionMismatchError:
                raise refused from None
        self._major = welcome.version[0]
        self._limit_s = self._reply_limit_s = welcome.limit_s + _GRACE_S
        self._closed = threading.Event()
        self._beating = threading.Thread(
            target=self._beat, args=(welcome.lease_s / HEARTBEATS,), daemon=True
        )
        if self._major >= Alive.since:
            self._stream.silence_s = welcome.lease_s
            self._beating.start()

    @property
    def where(self) -> str:
        """The agent's address, for people."""
        return str(self._endpoint)

    def send(self, message: Message, *, work_s: float = 0.0) -> None:
        """Send a message; each reply may take the agent's own limit and `work_s` more.

        Raises:
            AgentUnreachableError: the connection is lost.
            FrameTooLargeError: the message is too long.
            ProtocolError: the agent is too old for this message.
        """
        frame = encode(message, major=self._major)
        self._reply_limit_s = self._limit_s + work_s
        if self._major < Alive.since:
            self._stream.silence_s = self._reply_limit_s
        try:
            self._stream.write(frame)
        except OSError as error:
            raise self._lost(error) from error

    def receive(self, *kinds: type[M]) -> M:
        """The next message, which must be of one of these kinds.

        Raises:
            AgentUnreachableError: the connection is lost, or the agent stays silent.
            CorruptFrameError: what came was damaged on its way.
            DeviceBusyError: the agent answers that it is busy.
            MetanasError: the agent answers with an error.
            ProtocolError: anything else arrives.
        """
        deadline = time.monotonic() + self._reply_limit_s
        while True:
            message = self._read(self._stream, self._major, FRAME_LIMIT_BYTES)
            if not isinstance(message, Alive):
                return self._expected(message, kinds)
            if time.monotonic() > deadline:
                raise self._lost(f"it lives but did not answer within {self._reply_limit_s:.0f} s")

    def close(self) -> None:
        """Hang up, which also stops a job."""
        self._closed.set()
        self._stream.close()
        if self._beating.is_alive():
            self._beating.join()

    def _greeted(self, version: Version, session: str) -> tuple[Stream, Welcome]:
        """Connect and offer to speak this version."""
        try:
            connected = self._endpoint.connect(_CONNECT_LIMIT_S)
        except OSError as error:
            raise AgentUnreachableError(
                f"no agent answers at {self.where}: {error.strerror or error}",
                hint=self._endpoint.start_hint,
            ) from error
        stream = Stream(connected)
        stream.silence_s = _CONNECT_LIMIT_S
        program, host = f"metanas {__version__}", socket.gethostname()
        hello = Hello(version=version, program=program, session=session, host=host)
        try:
            with suppress(OSError):  # why it hung up is still to be read
                stream.write(encode(hello, major=GREETING_MAJOR))
            answer = self._read(stream, GREETING_MAJOR, HELLO_LIMIT_BYTES)
            welcome = self._expected(answer, (Welcome,))
            upgrade = self._endpoint.upgrade_command
            agreed_major(welcome.version, us="host", them="agent", upgrade=upgrade)
        except AgentUnreachableError as error:
            stream.close()
            if isinstance(connected, ssl.SSLSocket):  # TLS 1.3 refuses us only after its handshake
                error.hint = f"if it no longer knows this host: {self._endpoint.upgrade_command}"
            raise
        except BaseException:
            stream.close()
            raise
        return stream, welcome

    def _beat(self, pause_s: float) -> None:
        """Send signs of life until closed."""
        alive = encode(Alive(), major=self._major)
        while not self._closed.wait(pause_s):
            try:
                self._stream.write(alive)
            except OSError:
                return  # whoever reads will notice

    def _read(self, stream: Stream, major: int, limit_bytes: int) -> Message:
        try:
            message = read_message(stream, major=major, limit_bytes=limit_bytes)
        except OSError as error:
            raise self._lost(error) from error
        except ProtocolError as error:
            if stream.ended:
                raise self._lost(error.what) from error
            raise
        if message is None:
            raise self._lost("it closed the connection")
        return message

    def _expected(self, message: Message, kinds: tuple[type[M], ...]) -> M:
        if isinstance(message, Error):
            raise message.exception()
        if isinstance(message, Busy):
            raise DeviceBusyError(
                f"the agent at {self.where} is busy: a job of {message.holder or 'another host'} "
                f"has been running for {message.running_s:.0f} s",
                hint="wait for it to end",
            )
        if not isinstance(message, kinds):
            raise ProtocolError(f"the agent at {self.where} answered {message.type}")
        return message

    def _lost(self, why: OSError | str) -> MetanasError:
        if isinstance(why, ssl.SSLError) and "ALERT" in (why.reason or ""):
            return UntrustedError(
                f"the agent at {self.where} does not know this host",
                hint=f"pair again with: {self._endpoint.upgrade_command}",
            )
        text = why if isinstance(why, str) else why.strerror or str(why)
        return AgentUnreachableError(
            f"lost the agent at {self.where}: {text}",
            hint="see whether it still runs, then run the same command again",
        )
