"""Frames over a byte stream: length, CRC-32 (both 4 bytes, big-endian), msgpack map with a `type`.

Protocol 1 has no CRC, and neither have hello and its answer, so that any two versions can greet.
Host, agent and worker share this code; only the reading differs, blocking or asyncio.
"""

from __future__ import annotations

import zlib
from collections.abc import Sized
from typing import Any, NamedTuple, Protocol, TypeVar

import msgpack

from metanas_agent.errors import (
    CorruptFrameError,
    FrameTooLargeError,
    ProtocolError,
    VersionMismatchError,
)
from metanas_agent.message import MAJOR, Message
from metanas_agent.messages import MESSAGES
from metanas_agent.wire import Version

C = TypeVar("C", bound=Sized)

VERSION: Version = (MAJOR, 0)
"""A later minor only adds; both speak the lower one."""

OLDER_VERSION: Version = (MAJOR - 1, 0)
"""Spoken with peers that do not know ours."""

GREETING_MAJOR = 1
"""Hello and its answer have the form of this version for ever."""

HEARTBEATS = 3
"""Signs of life in the time after which silence is taken for death."""

HELLO_LIMIT_BYTES = 64 * 1024
"""Longest frame accepted from a peer that has not said hello."""

FRAME_LIMIT_BYTES = 64 * 1024 * 1024

_WORD_BYTES = 4
_CRC_SINCE = 2
_MOST_ITEMS = 200_000  # of all lists and maps in a frame; a short frame could fill the memory
_LONGEST_LIST = 20_000
_LONGEST_MAP = 100


class BlockingReader(Protocol):
    """What `read_message` needs of a file or a connection."""

    def read(self, count: int, /) -> bytes:
        """So many bytes, or fewer at the end of the stream."""


class AsyncReader(Protocol):
    """What `receive_message` needs of an asyncio stream."""

    async def read(self, count: int, /) -> bytes:
        """At least one byte and at most so many; none at the end of the stream."""


def encode(message: Message, *, major: int = MAJOR, limit_bytes: int = FRAME_LIMIT_BYTES) -> bytes:
    """A message as one frame of a major version.

    Raises:
        FrameTooLargeError: it would be longer than the limit.
        ProtocolError: that version does not know this message.
    """
    body: bytes = msgpack.packb(message.to_wire(major))
    if len(body) > limit_bytes:
        raise FrameTooLargeError(
            f"{message.type} message of {len(body):,} bytes; the limit is {limit_bytes:,}",
            hint="send fewer images at a time, or a smaller model",
        )
    return _words(len(body), *((zlib.crc32(body),) if major >= _CRC_SINCE else ())) + body


def decode(body: bytes | bytearray, *, major: int = MAJOR) -> Message:
    """The message of a frame's body.

    Raises:
        ProtocolError: it is not a valid message.
        MetanasError: a layer, measurement or setting in it is invalid.
    """
    counted = _ItemCount()
    try:
        values: Any = msgpack.unpackb(
            body,
            strict_map_key=True,
            max_ext_len=0,
            max_array_len=_LONGEST_LIST,
            max_map_len=_LONGEST_MAP,
            list_hook=counted,
            object_hook=counted,
        )
    except (ValueError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise ProtocolError(f"not a msgpack frame: {str(error)[:200]}") from error
    kind = values.pop("type", None) if isinstance(values, dict) else None
    message = MESSAGES.get(kind) if isinstance(kind, str) else None
    if message is None or not all(isinstance(name, str) for name in values):
        raise ProtocolError(
            f"not a message: type {kind!r:.80}", hint="upgrade host or agent, whichever is older"
        )
    return message.from_wire(values, major)


class Header(NamedTuple):
    """The first bytes of a frame: how long its body is, and its CRC-32 where it has one."""

    length: int
    crc: int | None

    def message(self, body: bytes | bytearray, *, major: int) -> Message:
        """The message of the frame, once its body is read.

        Raises:
            CorruptFrameError: the body was damaged on its way.
            ProtocolError: the body is truncated or not a valid message.
            MetanasError: a layer, measurement or setting in it is invalid.
        """
        if len(body) < self.length:
            raise _truncated()
        if self.crc is not None and zlib.crc32(body) != self.crc:
            raise CorruptFrameError(
                f"a frame of {self.length:,} bytes was damaged on its way",
                hint="try again; if it happens often, look at the cable or the network",
            )
        return decode(body, major=major)


def header_bytes(major: int) -> int:
    """How long the header of a frame is."""
    return _WORD_BYTES * (2 if major >= _CRC_SINCE else 1)


def parse_header(data: bytes | bytearray, *, major: int, limit_bytes: int) -> Header:
    """Read the header of a frame.

    Raises:
        FrameTooLargeError: the body is longer than the limit.
        ProtocolError: the header is truncated.
    """
    if len(data) < header_bytes(major):
        raise _truncated()
    length = int.from_bytes(data[:_WORD_BYTES], "big")
    if length > limit_bytes:
        raise FrameTooLargeError(f"a frame of {length:,} bytes; the limit is {limit_bytes:,}")
    return Header(
        length, int.from_bytes(data[_WORD_BYTES:], "big") if major >= _CRC_SINCE else None
    )


def read_message(
    stream: BlockingReader, *, major: int = MAJOR, limit_bytes: int = FRAME_LIMIT_BYTES
) -> Message | None:
    """The next message of a blocking stream; None where the stream ends between frames.

    Raises:
        CorruptFrameError: the frame was damaged on its way.
        ProtocolError: it is truncated, too large or not a valid message.
    """
    data = stream.read(header_bytes(major))
    if not data:
        return None
    header = parse_header(data, major=major, limit_bytes=limit_bytes)
    return header.message(stream.read(header.length), major=major)


async def receive_message(
    reader: AsyncReader, *, major: int = MAJOR, limit_bytes: int = FRAME_LIMIT_BYTES
) -> Message | None:
    """`read_message` for asyncio."""
    data = await _read(reader, header_bytes(major))
    if not data:
        return None
    header = parse_header(data, major=major, limit_bytes=limit_bytes)
    return header.message(await _read(reader, header.length), major=major)


def agreed_major(peer: Version, *, us: str, them: str, upgrade: str = "") -> int:
    """The major version to speak with a peer that speaks `peer`.

    Args:
        peer: its version.
        us: what we are, `host` or `agent`.
        them: what the peer is.
        upgrade: the command that upgrades the agent.

    Raises:
        VersionMismatchError: we cannot; names both versions and which side to upgrade.
    """
    if OLDER_VERSION[0] <= peer[0] <= VERSION[0]:
        return peer[0]
    older = them if peer < VERSION else us
    commands = {"host": "pip install --upgrade metanas", "agent": upgrade or _UPGRADE_AGENT}
    raise VersionMismatchError(
        f"the {us} speaks protocol {VERSION[0]}.{VERSION[1]}, "
        f"the {them} speaks {peer[0]}.{peer[1]}",
        hint=f"upgrade the {older}: {commands[older]}",
    )


_UPGRADE_AGENT = "metanas-profile pair for a paired board, else pip install --upgrade metanas-agent"


class _ItemCount:
    """Lets lists and maps pass while there are not too many of them and their items."""

    def __init__(self) -> None:
        self._items = 0

    def __call__(self, collection: C) -> C:
        self._items += 1 + len(collection)
        if self._items > _MOST_ITEMS:
            raise ValueError(f"more than {_MOST_ITEMS:,} items")
        return collection


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(_WORD_BYTES, "big") for value in values)


async def _read(reader: AsyncReader, count: int) -> bytearray:
    data = bytearray()
    while len(data) < count and (chunk := await reader.read(count - len(data))):
        data += chunk
    return data


def _truncated() -> ProtocolError:
    return ProtocolError("the connection ended inside a frame")
