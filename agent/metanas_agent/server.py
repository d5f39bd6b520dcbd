"""The agent's server: one job at a time, rows sent as they are measured, no input ends it."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import time
from collections.abc import Sequence
from contextlib import aclosing, suppress

from metanas_agent import __version__
from metanas_agent.errors import MetanasError, PortInUseError, ProtocolError, UnsafeAddressError
from metanas_agent.job import replies_to
from metanas_agent.messages import Busy, Cancel, Done, Error, Hello, Message, Welcome
from metanas_agent.protocol import (
    FRAME_LIMIT_BYTES,
    HELLO_LIMIT_BYTES,
    VERSION,
    check_version,
    encode,
    receive_message,
)

_HELLO_LIMIT_S = 10.0
_SEND_LIMIT_S = 30.0


class Server:
    """Listens on one loopback address.

    Args:
        host: a loopback address; there is no pairing yet, so no other is allowed.
        port: 0 takes any that is free.
        runtimes: those offered.
        limit_s: longest time for one layer or model beyond its timing budget.
    """

    def __init__(self, *, host: str, port: int, runtimes: Sequence[str], limit_s: float) -> None:
        self._host = loopback_address(host)
        self._port = port
        self._runtimes = tuple(runtimes)
        self._limit_s = limit_s
        self._job_began: float | None = None
        self._conversations: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Listen; return the port.

        Raises:
            PortInUseError: another process listens there, or it may not be used.
        """
        try:
            self._server = await asyncio.start_server(self._accept, self._host, self._port)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
                raise
            raise PortInUseError(
                f"cannot listen on {self._host}:{self._port}: {error.strerror}",
                hint="choose another --port, or 0 for any; is an agent running already?",
            ) from error
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Stop listening, and end every conversation and its worker."""
        self._server.close()
        for conversation in self._conversations:
            conversation.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.current_task()
        assert conversation
        self._conversations.add(conversation)
        try:
            await self._converse(reader, writer)
        except MetanasError as error:
            with suppress(OSError, TimeoutError):
                await _send(writer, Error.of(error))
        except (OSError, TimeoutError):
            pass  # the host is gone, or does not listen
        except asyncio.CancelledError:
            pass  # `stop` ended it
        finally:
            self._conversations.discard(conversation)
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Greet, then answer one request after the other."""
        async with asyncio.timeout(_HELLO_LIMIT_S):
            hello = await receive_message(reader, limit_bytes=HELLO_LIMIT_BYTES)
        if hello is None:
            return
        if not isinstance(hello, Hello):
            raise ProtocolError(f"a {hello.type} message before hello")
        check_version(hello.version, us="agent", them="host")
        program = f"metanas-agent {__version__}"
        await _send(writer, Welcome(version=VERSION, program=program, limit_s=self._limit_s))
        request = await receive_message(reader)
        while request is not None:
            request = await self._answer(request, reader, writer)

    async def _answer(
        self, request: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Message | None:
        """Do the job while listening for `Cancel`; return the next request."""
        job = asyncio.create_task(self._do(request, writer))
        following = asyncio.create_task(receive_message(reader))
        try:
            await asyncio.wait({job, following}, return_when=asyncio.FIRST_COMPLETED)
            if not job.done():
                message = following.result()
                if message is None:
                    return None
                if isinstance(message, Cancel):
                    await _stopped(job)
                    await _send(writer, Done())
                    return await receive_message(reader)
            await job
            return await following
        finally:
            await _stopped(job)
            await _stopped(following)

    async def _do(self, request: Message, writer: asyncio.StreamWriter) -> None:
        if isinstance(request, Cancel):
            return  # the job it was meant for is over
        if self._job_began is not None:
            await _send(writer, Busy(running_s=time.monotonic() - self._job_began))
            return
        self._job_began = time.monotonic()
        try:
            replies = replies_to(request, runtimes=self._runtimes, limit_s=self._limit_s)
            async with aclosing(replies):
                async for reply in replies:
                    await _send(writer, reply)
        except MetanasError as error:
            await _send(writer, Error.of(error))
        finally:
            self._job_began = None


def loopback_address(host: str) -> str:
    """The address, if only this machine can reach it.

    Raises:
        UnsafeAddressError: others could.
    """
    address = "127.0.0.1" if host == "localhost" else host
    try:
        if ipaddress.ip_address(address).is_loopback:
            return address
    except ValueError:
        pass
    raise UnsafeAddressError(
        f"will not listen on {host!r}: others could reach it, and hosts cannot be paired yet",
        hint="use 127.0.0.1 and forward the port, as in: ssh -L 7431:127.0.0.1:7431 board",
    )


async def _send(writer: asyncio.StreamWriter, message: Message) -> None:
    """Raises TimeoutError where the host does not take what it asked for."""
    writer.write(encode(message, limit_bytes=FRAME_LIMIT_BYTES))
    async with asyncio.timeout(_SEND_LIMIT_S):
        await writer.drain()


async def _stopped(task: asyncio.Task[object]) -> None:
    """End a task and wait until it has let go of what it held."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # was seen by whoever waited for it, or does not matter any more
