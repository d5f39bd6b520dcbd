"""Frames that no honest host sends: mutations of a corpus of honest ones, from a seed."""

from __future__ import annotations

import random
import zlib
from typing import NamedTuple

import msgpack

from metanas_agent.finding import Finding
from metanas_agent.layers import ConvLayer, EmptyLayer
from metanas_agent.messages import (
    Alive,
    Busy,
    Cancel,
    Chunk,
    Describe,
    Done,
    Error,
    Examine,
    Findings,
    Hello,
    Measure,
    Offer,
    RunModel,
    Status,
    Stored,
    Welcome,
)
from metanas_agent.protocol import VERSION
from metanas_agent.timer import TimerSettings
from metanas_agent.wire import Tensor
from support import recorded

_SHA = "ab" * 32
_SETTINGS = TimerSettings(budget_ms=1.0, min_samples=1, interval=0.5)
_CORPUS = (
    Alive(),
    Busy(running_s=1.0, holder="x"),
    Cancel(),
    Chunk(sha256=_SHA, offset=0, data=b"\x7fELF" * 20),
    Describe(),
    Done(),
    Error(code="protocol", what="x"),
    Examine(),
    Findings(findings=(Finding.ok("governor", "performance on core 0"),)),
    Hello(version=VERSION, program="test", session="s", host="h"),
    Measure(
        layers=(EmptyLayer(1, 1, 1), ConvLayer(1, 4, 4, out_channels=2, kernel=3)),
        settings=_SETTINGS,
        runtime="native",
        artifact=_SHA,
    ),
    Offer(sha256=_SHA, size_bytes=10),
    RunModel(
        model=b"model",
        inputs=Tensor(b"\0" * 16, (1, 4)),
        settings=_SETTINGS,
        runtime="onnx",
    ),
    Status(),
    Stored(sha256=_SHA, received_bytes=3),
    Welcome(version=VERSION, program="x", limit_s=1.0),
)
_RECORDED = (recorded.HELLO, recorded.DESCRIBE, recorded.MEASURE)
_ODD_VALUES = (
    *(None, True, False, 0, -1, 2**63, 2**64 - 1, 1e308, float("nan"), float("inf")),
    *("", "x" * 5_000, "\0\x1b[2J", "../../etc/passwd", _SHA.upper(), b"", b"\xff" * 100),
    *([], [[]], {}, {"type": "hello"}, [2**32] * 3, {"": None}, msgpack.Timestamp(1)),
    msgpack.ExtType(5, b"x"),
)
_EVIL_BODIES = (
    b"\x91" * 2_000,
    b"\xdf\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdc\x4e\x20" + b"\x90" * 20_000,
    b"\x81\xa4type\xd9\xff",
    b"\xc1",
    b"",
)


class Attack(NamedTuple):
    """Bytes to send.

    Args:
        data: what to send.
        greets: whether an honest hello goes before.
        whole: whether the agent can see where the frame ends; else only hanging up shows it.
    """

    data: bytes
    greets: bool
    whole: bool


class Mutator:
    """An iterator of attacks without end; the same seed makes the same ones."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def __iter__(self):
        return self

    def __next__(self):
        greets = self._random.random() < 0.8
        major = 2 if greets else 1
        kind = self._random.choice(
            (self._flipped, self._truncated, self._wrong_length, self._wrong_fields, self._evil,
             self._garbage, self._honest_at_the_wrong_time, self._recorded)
        )  # fmt: skip
        return kind(greets, major)

    def _message(self):
        return self._random.choice(_CORPUS)

    def _frame(self, major):
        return framed(msgpack.packb(self._message().to_wire()), major)

    def _flipped(self, greets, major):
        """One to four bits, behind the length; half of the time with a CRC that fits."""
        header = 4 * major
        frame = bytearray(self._frame(major))
        for _ in range(self._random.randint(1, 4)):
            frame[self._random.randrange(4, len(frame))] ^= 1 << self._random.randrange(8)
        if self._random.random() < 0.5:
            return Attack(framed(bytes(frame[header:]), major), greets, True)
        return Attack(bytes(frame), greets, True)

    def _truncated(self, greets, major):
        frame = self._frame(major)
        return Attack(frame[: self._random.randrange(len(frame))], greets, False)

    def _wrong_length(self, greets, major):
        frame = bytearray(self._frame(major))
        length = self._random.choice((0, 1, 2**16, 2**26, 2**31, 2**32 - 1, len(frame), 7))
        frame[:4] = length.to_bytes(4, "big")
        return Attack(bytes(frame), greets, False)

    def _wrong_fields(self, greets, major):
        """A field of another type or out of range, missing, or one too many."""
        values = self._message().to_wire()
        for _ in range(self._random.randint(1, 2)):
            name = self._random.choice([*values, "extra"])
            if self._random.random() < 0.2:
                values.pop(name, None)
            else:
                values[name] = self._odd_value(2)
        return Attack(framed(msgpack.packb(values), major), greets, True)

    def _evil(self, greets, major):
        return Attack(framed(self._random.choice(_EVIL_BODIES), major), greets, True)

    def _garbage(self, greets, major):
        data = self._random.randbytes(self._random.randint(1, 200))
        return Attack(data, greets, False)

    def _honest_at_the_wrong_time(self, greets, major):
        return Attack(self._frame(major), greets, True)

    def _recorded(self, greets, major):
        """Frames of another version than was agreed."""
        return Attack(self._random.choice(_RECORDED), greets, not greets)

    def _odd_value(self, depth):
        if depth and self._random.random() < 0.2:
            inner = [self._odd_value(depth - 1) for _ in range(self._random.randint(0, 3))]
            return inner if self._random.random() < 0.5 else dict(zip("abc", inner, strict=False))
        return self._random.choice(_ODD_VALUES)


def framed(body, major):
    """A frame around any body, with a CRC that fits."""
    crc = zlib.crc32(body).to_bytes(4, "big") if major == 2 else b""
    return len(body).to_bytes(4, "big") + crc + body
