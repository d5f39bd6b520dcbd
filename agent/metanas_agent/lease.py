"""Lease: who has the device. One host at a time, for one job; a dead host loses it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from metanas_agent.messages import Busy, StatusReply


class Taken(Exception):  # noqa: N818 - not an error but an answer
    """Another host has the device; `answer` says so."""

    def __init__(self, answer: Busy) -> None:
        super().__init__(answer)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class _Holder:
    name: str
    session: str
    began_s: float
    job: asyncio.Task[object]


class Lease:
    """The right to work the device."""

    def __init__(self) -> None:
        self._holder: _Holder | None = None

    @asynccontextmanager
    async def held(self, name: str, session: str) -> AsyncIterator[None]:
        """Have the device, as long as the block runs.

        A job that is being stopped is waited for. One of the same session is stopped: its
        connection is lost, or its host would not ask over another one.

        Args:
            name: of the host, for others who wait.
            session: the secret by which a host is known again; empty where it has none.

        Raises:
            Taken: another host has it.
        """
        while holder := self._holder:
            if not holder.job.cancelling():
                if not session or session != holder.session:
                    raise Taken(Busy(running_s=_since(holder), holder=holder.name))
                holder.job.cancel()
            await asyncio.wait({holder.job})
        job = asyncio.current_task()
        assert job
        self._holder = _Holder(name, session, time.monotonic(), job)
        try:
            yield
        finally:
            self._holder = None

    def status(self) -> StatusReply:
        """Whether a host has the device, which, and for how long."""
        if holder := self._holder:
            return StatusReply(busy=True, holder=holder.name, running_s=_since(holder))
        return StatusReply(busy=False, holder="", running_s=0.0)


def _since(holder: _Holder) -> float:
    return time.monotonic() - holder.began_s
