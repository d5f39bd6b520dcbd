"""Conversation: one host over one connection, from hello to the end."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from metanas_agent import __version__
from metanas_agent.errors import LeaseLostError, MetanasError, ProtocolError
from metanas_agent.job import Workshop, replies_to
from metanas_agent.lease import Lease, Taken
from metanas_agent.link import Link
from metanas_agent.listeners import Visitor
from metanas_agent.message import Message
from metanas_agent.messages import Cancel, Done, Error, Hello, Status, Welcome
from metanas_agent.printing import printable
from metanas_agent.protocol import OLDER_VERSION, VERSION, agreed_major

_LONGEST_NAME = 60


class Conversation:
    """Greets a host, then answers one request after the other.

    Args:
        link: to the host.
        visitor: who it is.
        workshop: what the device can do.
        lease: who has the device.
        lease_s: a host that is silent for so long is taken for dead.
    """

    def __init__(
        self, link: Link, visitor: Visitor, workshop: Workshop, lease: Lease, *, lease_s: float
    ) -> None:
        self._link = link
        self._visitor = visitor
        self._workshop = workshop
        self._lease = lease
        self._lease_s = lease_s
        self._early: Message | None = None

    async def hold(self) -> None:
        """Returns when the host hangs up.

        Raises:
            LeaseLostError: it gives no sign of life, or came back over another connection.
            MetanasError: it sends what is no valid message.
            OSError: the connection broke.
            TimeoutError: the host does not take its answers.
        """
        hello = await self._link.receive()
        if hello is None:
            return
        if not isinstance(hello, Hello):
            raise ProtocolError(f"a {hello.type} message before hello")
        self._session = hello.session
        self._host = self._visitor.name or printable(hello.host)[:_LONGEST_NAME] or "another host"
        await self._greet(agreed_major(hello.version, us="agent", them="host"))
        beating = asyncio.create_task(self._link.keep_alive())
        self._next = asyncio.create_task(self._link.receive())
        try:
            while (request := await self._take()) is not None:
                await self._answer(request)
        finally:
            await stopped(beating)
            await stopped(self._next)

    async def _greet(self, major: int) -> None:
        welcome = Welcome(
            version=VERSION if major == VERSION[0] else OLDER_VERSION,
            program=f"metanas-agent {__version__}",
            limit_s=self._workshop.limit_s,
            lease_s=self._lease_s,
            trusted=self._visitor.trusted,
            device_id=self._workshop.device_id,
            name=self._workshop.name,
        )
        await self._link.send(welcome)
        self._link.welcome(major, self._lease_s)

    async def _take(self) -> Message | None:
        """The next message; the one behind it is awaited at once, so that a lost host is seen."""
        if early := self._early:
            self._early = None
            return early
        message = await self._next
        if message is not None:
            self._next = asyncio.create_task(self._link.receive())
        return message

    async def _answer(self, request: Message) -> None:
        """Do the job, while listening for `Cancel` and `Status`."""
        job = asyncio.create_task(self._do(request))
        try:
            while True:
                await asyncio.wait({job, self._next}, return_when=asyncio.FIRST_COMPLETED)
                if job.done():
                    break
                message = await self._take_during_job()
                if isinstance(message, Cancel):
                    await stopped(job)
                    await self._link.send(Done())
                    return
                if isinstance(message, Status):
                    await self._link.send(self._lease.status())
                elif self._early is None:
                    self._early = message
                else:
                    raise ProtocolError(f"a {message.type} message before the last was answered")
            if job.cancelled():
                raise LeaseLostError("this host came back over another connection")
            job.result()
        finally:
            await stopped(job)

    async def _take_during_job(self) -> Message:
        message = await self._next
        if message is None:
            raise ConnectionAbortedError
        self._next = asyncio.create_task(self._link.receive())
        return message

    async def _do(self, request: Message) -> None:
        if isinstance(request, Cancel):
            return  # the job it was meant for is over
        if isinstance(request, Status):
            await self._link.send(self._lease.status())
            return
        replies = replies_to(request, self._workshop, trusted=self._visitor.trusted)
        try:
            async with self._lease.held(self._host, self._session), aclosing(replies):
                async for reply in replies:
                    await self._link.send(reply)
        except Taken as taken:
            await self._link.send(taken.answer)
        except MetanasError as error:
            await self._link.send(Error.of(error))


async def stopped(task: asyncio.Task[object]) -> None:
    """End a task and wait until it has let go of what it held."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # was seen by whoever waited for it, or does not matter any more
