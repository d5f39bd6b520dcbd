"""Sends attacks to an agent, over connections that are used again as long as it lets them live."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from metanas_agent.messages import Hello, Status, StatusReply, Welcome
from metanas_agent.protocol import VERSION, encode, receive_message
from support.agent_process import PATIENCE_S

AT_ONCE = 8

_HELLO = encode(Hello(version=VERSION, program="attacker"), major=1)
_STATUS = encode(Status())


def assail(port, attacks, *, context=None):
    """Send all attacks; how many of them left their connection alive.

    Raises:
        TimeoutError: the agent neither answered nor hung up.
    """
    return asyncio.run(_assail(port, iter(attacks), context))


async def _assail(port, attacks, context):
    async with asyncio.TaskGroup() as group:
        lines = [group.create_task(_Line(port, context).send_all(attacks)) for _ in range(AT_ONCE)]
    return sum(line.result() for line in lines)


class _Line:
    def __init__(self, port, context):
        self._port = port
        self._context = context
        self._writer = None

    async def send_all(self, attacks):
        survived = 0
        for attack in attacks:
            async with asyncio.timeout(PATIENCE_S):
                survived += await self._survives(attack)
        await self._hang_up()
        return survived

    async def _survives(self, attack):
        try:
            if not attack.greets:
                await self._hang_up()
            if self._writer is None:
                await self._connect(attack.greets)
            self._writer.write(attack.data)
            if attack.greets and attack.whole:
                self._writer.write(_STATUS)
                await self._writer.drain()
                return await self._is_answered()
            await self._finish()
        except (OSError, EOFError):
            pass
        await self._hang_up()
        return False

    async def _connect(self, greets):
        self._reader, self._writer = await asyncio.open_connection(
            *("127.0.0.1", self._port), ssl=self._context
        )
        if greets:
            self._writer.write(_HELLO)
            if not isinstance(await receive_message(self._reader, major=1), Welcome):
                raise EOFError

    async def _is_answered(self):
        while message := await receive_message(self._reader):
            if isinstance(message, StatusReply):
                return True
        await self._hang_up()
        return False

    async def _finish(self):
        """Say that nothing more comes, and see that the agent hangs up."""
        if self._context is None:  # TLS cannot be closed in one direction
            self._writer.write_eof()
            while await self._reader.read(65_536):
                pass

    async def _hang_up(self):
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()
            self._writer = None
