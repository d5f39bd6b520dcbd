"""Frames over a byte stream: a 4-byte big-endian length, then a msgpack map with a `type`.

Host, agent and worker share this code; only the reading differs, blocking or asyncio.
"""

from __future__ import annotations

import asyncio
from typing import Any, BinaryIO

import msgpack

from metanas_agent.errors import FrameTooLargeError, ProtocolError, VersionMismatchError
from metanas_agent.messages import MESSAGES, Message
from metanas_agent.wire import Version

VERSION: Version = (1, 0)
"""A peer of the same major is understood. A later minor only adds; both speak the lower one."""

HELLO_LIMIT_BYTES = 64 * 1024
"""Longest frame accepted from a peer that has not said hello."""

FRAME_LIMIT_BYTES = 64 * 1024 * 1024

_HEADER_BYTES = 4


def encode(message: Message, *, limit_bytes: int = FRAME_LIMIT_BYTES) -> bytes:
    """A message as one frame.

    Raises:
        FrameTooLargeError: it would be longer than the limit.
    """
    body: bytes = msgpack.packb(message.to_wire())
    if len(body) > limit_bytes:
        raise FrameTooLargeError(
            f"{message.type} message of {len(body):,} bytes; the limit is {limit_bytes:,}",
            hint="send fewer images at a time, or a smaller model",
        )
    return len(body).to_bytes(_HEADER_BYTES, "big") + body


def decode(body: bytes) -> Message:
    """The message of a frame's body.

    Raises:
        ProtocolError: it is not a valid message.
        MetanasError: a layer, measurement or setting in it is invalid.
    """
    try:
        values: Any = msgpack.unpackb(body, strict_map_key=True, max_ext_len=0)
    except (ValueError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise ProtocolError(f"not a msgpack frame: {str(error)[:200]}") from error
    kind = values.pop("type", None) if isinstance(values, dict) else None
    message = MESSAGES.get(kind) if isinstance(kind, str) else None
    if message is None or not all(isinstance(name, str) for name in values):
        raise ProtocolError(f"not a message: type {kind!r:.80}")
    return message.from_wire(values)


def read_message(stream: BinaryIO, *, limit_bytes: int = FRAME_LIMIT_BYTES) -> Message | None:
    """The next message of a blocking stream; None where the stream ends between frames.

    Raises:
        ProtocolError: the frame is truncated, too large or not a valid message.
    """
    header = stream.read(_HEADER_BYTES)
    if not header:
        return None
    length = _length(header, limit_bytes)
    body = stream.read(length)
    if len(body) < length:
        raise _truncated()
    return decode(body)


async def receive_message(
    reader: asyncio.StreamReader, *, limit_bytes: int = FRAME_LIMIT_BYTES
) -> Message | None:
    """`read_message` for asyncio."""
    try:
        header = await reader.readexactly(_HEADER_BYTES)
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise _truncated() from error
    try:
        return decode(await reader.readexactly(_length(header, limit_bytes)))
    except asyncio.IncompleteReadError as error:
        raise _truncated() from error


def check_version(peer: Version, *, us: str, them: str) -> None:
    """Refuse a peer of another major version.

    Args:
        peer: its version.
        us: what we are, `host` or `agent`.
        them: what the peer is.

    Raises:
        VersionMismatchError: names both versions and which side to upgrade.
    """
    if peer[0] != VERSION[0]:
        older = them if peer < VERSION else us
        package = "metanas" if older == "host" else "metanas-agent"
        raise VersionMismatchError(
            f"the {us} speaks protocol {VERSION[0]}.{VERSION[1]}, "
            f"the {them} speaks {peer[0]}.{peer[1]}",
            hint=f"upgrade the {older}: pip install --upgrade {package}",
        )


def _length(header: bytes, limit_bytes: int) -> int:
    if len(header) < _HEADER_BYTES:
        raise _truncated()
    length = int.from_bytes(header, "big")
    if length > limit_bytes:
        raise FrameTooLargeError(f"a frame of {length:,} bytes; the limit is {limit_bytes:,}")
    return length


def _truncated() -> ProtocolError:
    return ProtocolError("the connection ended inside a frame")
