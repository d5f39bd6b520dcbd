"""The agent's server: whoever may come in is answered, and no input ends it."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from metanas_agent.conversation import Conversation
from metanas_agent.errors import MetanasError
from metanas_agent.job import Workshop
from metanas_agent.lease import Lease
from metanas_agent.link import Link
from metanas_agent.listeners import Listener
from metanas_agent.messages import Error

LEASE_S = 15.0
"""A host that is silent for so long is taken for dead."""

MOST_CONNECTIONS = 32

_HANDSHAKE_LIMIT_S = 10.0
_SHUTDOWN_LIMIT_S = 1.0
_NO_SOCKETS_PAUSE_S = 1.0


class Server:
    """Listens, and holds a conversation with each host that comes.

    Args:
        listeners: where.
        workshop: what the device can do.
        lease_s: a host that is silent for so long loses the device.
    """

    def __init__(
        self, listeners: Sequence[Listener], workshop: Workshop, *, lease_s: float = LEASE_S
    ) -> None:
        self._listeners = tuple(listeners)
        self._workshop = workshop
        self._lease_s = lease_s
        self._lease = Lease()
        self._large_frame = asyncio.Semaphore(1)
        self._sockets: list[socket.socket] = []
        self._doors: list[asyncio.Task[None]] = []
        self._visits: set[asyncio.Task[None]] = set()

    async def start(self) -> tuple[str, ...]:
        """Listen; return the addresses, for people.

        Raises:
            PortInUseError: another process listens there, or it may not be used.
            UnsafeAddressError: strangers could reach it.
        """
        addresses = []
        for listener in self._listeners:
            context = listener.context
            listening, address = listener.open()
            listening.setblocking(False)
            self._sockets.append(listening)
            self._doors.append(asyncio.create_task(self._open_door(listening, listener, context)))
            addresses.append(address)
        gc.freeze()  # what lives as long as the agent: later collections are brief
        return tuple(addresses)

    async def stop(self) -> None:
        """Stop listening, and end every conversation and its worker."""
        tasks = [*self._doors, *self._visits]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listening in self._sockets:
            if listening.family == socket.AF_UNIX:
                Path(listening.getsockname()).unlink(missing_ok=True)
            listening.close()

    async def _open_door(
        self, listening: socket.socket, listener: Listener, context: ssl.SSLContext | None
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError:  # no more sockets: those at hand may be closed soon
                await asyncio.sleep(_NO_SOCKETS_PAUSE_S)
                continue
            if len(self._visits) >= MOST_CONNECTIONS:
                connection.close()
                continue
            visit = asyncio.create_task(self._receive(connection, listener, context))
            self._visits.add(visit)
            visit.add_done_callback(self._visits.discard)

    async def _receive(
        self, connection: socket.socket, listener: Listener, context: ssl.SSLContext | None
    ) -> None:
        """One connection, from its handshake to its end; its memory is free again behind it."""
        try:
            await self._hold(connection, listener, context)
        finally:
            gc.collect()  # TLS streams lie in cycles, each with a buffer of 256 KiB

    async def _hold(
        self, connection: socket.socket, listener: Listener, context: ssl.SSLContext | None
    ) -> None:
        try:
            reader, writer = await _streams(connection, context)
        except (OSError, TimeoutError):  # ssl.SSLError too: a stranger, or no TLS at all
            connection.close()
            return
        link = Link(reader, writer, self._large_frame)
        try:
            with suppress(OSError, TimeoutError):  # the host is gone, or does not listen
                await self._converse(link, listener, writer.transport)
        finally:
            writer.close()
            with suppress(OSError, TimeoutError):
                await writer.wait_closed()

    async def _converse(
        self, link: Link, listener: Listener, transport: asyncio.BaseTransport
    ) -> None:
        """Hold the conversation, or say why there is none."""
        try:
            visitor = listener.visitor(transport)
            conversation = Conversation(
                link, visitor, self._workshop, self._lease, lease_s=self._lease_s
            )
            await conversation.hold()
        except MetanasError as error:
            await link.send(Error.of(error))


async def _streams(
    connection: socket.socket, context: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Streams over an accepted connection, once its handshake is done."""
    connection.setblocking(False)
    if connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    limits = (
        {"ssl_handshake_timeout": _HANDSHAKE_LIMIT_S, "ssl_shutdown_timeout": _SHUTDOWN_LIMIT_S}
        if context
        else {}
    )
    transport, _ = await loop.connect_accepted_socket(
        lambda: protocol, connection, ssl=context, **limits
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
