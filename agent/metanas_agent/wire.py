"""Between Python values and what a frame may hold: every value that arrives is checked here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from math import prod
from typing import Any, NamedTuple, Self

from metanas_agent.errors import ProtocolError
from metanas_agent.finding import FINDING_VERDICTS, Finding
from metanas_agent.layers import LayerSpec, parse_layer
from metanas_agent.measurement import Measurement
from metanas_agent.timer import TimerSettings

Version = tuple[int, int]
"""(major, minor)."""

Sha256 = str
"""64 hex digits, or none where there is nothing to name."""

LONGEST_TEXT = 4_000

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_DIMENSIONS = 8
_LARGEST_NUMBER = 2**53


@dataclass(frozen=True, slots=True)
class Tensor:
    """Float32 values, little-endian; the first dimension is the image.

    Raises:
        ProtocolError: the shape and the data do not agree, or there is no image.
    """

    data: bytes
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.shape) <= _MOST_DIMENSIONS or len(self.data) != 4 * prod(self.shape):
            shape = "x".join(map(str, self.shape[: _MOST_DIMENSIONS + 1]))
            raise ProtocolError(f"{len(self.data)} bytes are no float32 tensor of {shape[:200]}")
        if self.shape[0] < 1:
            raise ProtocolError("a tensor without an image", hint="send at least one")

    def to_wire(self) -> dict[str, Any]:
        """Plain values for a frame."""
        return {"data": self.data, "shape": list(self.shape), "dtype": "float32"}

    @classmethod
    def from_wire(cls, value: object) -> Self:
        """Read what `to_wire` wrote."""
        values = _of_type(dict, value)
        if values.keys() != {"data", "shape", "dtype"} or values["dtype"] != "float32":
            raise ValueError("not a float32 tensor")
        shape = tuple(_count(side) for side in _of_type(list, values["shape"]))
        return cls(_of_type(bytes, values["data"]), shape)


class Hook(NamedTuple):
    """How a field of one type travels; `read` raises ValueError, or a MetanasError of its own.

    `write_1` writes for a peer of protocol 1, where that differs.
    """

    read: Callable[[object], Any]
    write: Callable[[Any], Any] = lambda value: value
    write_1: Callable[[Any], Any] | None = None


def _of_type(kind: type, value: object) -> Any:
    if type(value) is not kind:
        raise ValueError(f"not a {kind.__name__} but a {type(value).__name__}")
    return value


def _text(value: object) -> str:
    text: str = _of_type(str, value)
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"longer than {LONGEST_TEXT} characters")
    return text


def _count(value: object) -> int:
    count: int = _of_type(int, value)
    if not 0 <= count <= _LARGEST_NUMBER:
        raise ValueError("out of range")
    return count


def _number(value: object) -> float:
    number: float = value if type(value) is int else _of_type(float, value)
    if not 0 <= number <= _LARGEST_NUMBER:
        raise ValueError("out of range")
    return number


def _sha256(value: object) -> str:
    text: str = _of_type(str, value)
    if text and not _SHA256.fullmatch(text):
        raise ValueError("no SHA-256 in hex")
    return text


def _version(value: object) -> Version:
    major, minor = _of_type(list, value)
    return _count(major), _count(minor)


def _texts(value: object) -> dict[str, str]:
    return {_text(name): _text(text) for name, text in _of_type(dict, value).items()}


def _layers(value: object) -> tuple[LayerSpec, ...]:
    return tuple(parse_layer(_text(key)) for key in _of_type(list, value))


def _findings(value: object) -> tuple[Finding, ...]:
    return tuple(map(_finding, _of_type(list, value)))


def _finding(value: object) -> Finding:
    values = _texts(value)
    if values.keys() != {part.name for part in fields(Finding)}:
        raise ValueError("not a finding")
    if values["verdict"] not in FINDING_VERDICTS:
        raise ValueError(f"of the verdict {values['verdict'][:80]!r}")
    return Finding(**values)


def _keys(layers: tuple[LayerSpec, ...]) -> list[str]:
    return [layer.key for layer in layers]


HOOKS: dict[str, Hook] = {
    "str": Hook(_text),
    "bool": Hook(lambda value: _of_type(bool, value)),
    "Sha256": Hook(_sha256),
    "int": Hook(_count),
    "int | None": Hook(lambda value: None if value is None else _count(value)),
    "float": Hook(_number),
    "bytes": Hook(lambda value: _of_type(bytes, value)),
    "dict[str, str]": Hook(_texts),
    "tuple[LayerSpec, ...]": Hook(_layers, _keys),
    "tuple[Finding, ...]": Hook(
        _findings, lambda findings: [finding.to_dict() for finding in findings]
    ),
    "Measurement": Hook(
        Measurement.from_dict, Measurement.to_dict, write_1=Measurement.to_protocol_1
    ),
    "Tensor": Hook(Tensor.from_wire, Tensor.to_wire),
    "TimerSettings": Hook(TimerSettings.from_dict, TimerSettings.to_dict),
    "Version": Hook(_version, list),
}
"""By a message field's annotation."""
