"""Link: the agent's end of one connection. Whoever is silent or slow for too long is dropped."""

from __future__ import annotations

import asyncio

from metanas_agent.errors import LeaseLostError, ProtocolError
from metanas_agent.message import Message
from metanas_agent.messages import Alive
from metanas_agent.protocol import (
    FRAME_LIMIT_BYTES,
    GREETING_MAJOR,
    HEARTBEATS,
    HELLO_LIMIT_BYTES,
    Header,
    encode,
    header_bytes,
    parse_header,
)

_GREETING_LIMIT_S = 10.0
_SEND_LIMIT_S = 30.0
_LARGE_FRAME_BYTES = 1024 * 1024
_SLOWEST_BYTES_PER_S = 50_000


class Link:
    """Sends and receives messages; until `welcome` as to a stranger, in the form of protocol 1.

    Args:
        reader: of the connection.
        writer: of the connection.
        large_frame: held while a large frame is read, so that all peers together cannot fill the
            memory.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        large_frame: asyncio.Semaphore,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._large_frame = large_frame
        self._major = GREETING_MAJOR
        self._limit_bytes = HELLO_LIMIT_BYTES
        self._silence_s: float | None = _GREETING_LIMIT_S

    def welcome(self, major: int, lease_s: float) -> None:
        """From now on speak this major version, and expect signs of life where it knows them."""
        self._major = major
        self._limit_bytes = FRAME_LIMIT_BYTES
        self._silence_s = lease_s if major >= Alive.since else None

    async def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            FrameTooLargeError: it is too long.
            OSError: the peer is gone.
            TimeoutError: it does not take what it asked for.
        """
        self._writer.write(encode(message, major=self._major))
        async with asyncio.timeout(self._silence_s or _SEND_LIMIT_S):
            await self._writer.drain()

    async def receive(self) -> Message | None:
        """The next message that is more than a sign of life; None where the peer has hung up.

        Raises:
            LeaseLostError: the peer was silent for too long.
            ProtocolError: what came is no message.
            MetanasError: a layer, measurement or setting in it is invalid.
            OSError: the connection broke.
        """
        while isinstance(message := await self._receive(), Alive):
            await asyncio.sleep(0)  # a peer that sends them in a flood holds nobody else up
        return message

    async def keep_alive(self) -> None:
        """Send signs of life, for ever."""
        while self._silence_s and self._major >= Alive.since:
            await asyncio.sleep(self._silence_s / HEARTBEATS)
            if not self._writer.transport.get_write_buffer_size():  # else it has to read first
                self._writer.write(encode(Alive(), major=self._major))

    async def _receive(self) -> Message | None:
        data = await self._read(header_bytes(self._major))
        if not data:
            return None
        header = parse_header(data, major=self._major, limit_bytes=self._limit_bytes)
        if header.length <= _LARGE_FRAME_BYTES:
            return await self._message(header)
        async with self._large_frame:
            return await self._message(header)

    async def _message(self, header: Header) -> Message:
        try:
            async with asyncio.timeout(_SEND_LIMIT_S + header.length / _SLOWEST_BYTES_PER_S):
                body = await self._read(header.length)
        except TimeoutError as error:
            raise ProtocolError(f"a frame of {header.length:,} bytes came too slowly") from error
        return header.message(body, major=self._major)

    async def _read(self, count: int) -> bytearray:
        """So many bytes, or fewer where the peer hangs up."""
        data = bytearray()
        while len(data) < count:
            try:
                async with asyncio.timeout(self._silence_s):
                    chunk = await self._reader.read(count - len(data))
            except TimeoutError as error:
                raise LeaseLostError(
                    f"the host gave no sign of life for {self._silence_s:.0f} s",
                    hint="see whether it was stopped, or the network is overloaded",
                ) from error
            if not chunk:
                break
            data += chunk
        return data
