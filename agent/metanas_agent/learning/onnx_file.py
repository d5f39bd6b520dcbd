"""New weights and metadata for an ONNX file, without the onnx package, which a board need not have.

An ONNX file is a protocol buffer: a message is a row of fields, each with a number and a value,
and a value may be a message again. All but a few fields are copied as they are. The numbers are
those of onnx.proto, which never change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from metanas_agent.errors import InvalidModelError
from metanas_agent.wire import Tensor

_GRAPH, _METADATA = 7, 14  # of a model
_INITIALISER = 5  # of a graph
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA = 1, 2, 8, 9  # of a tensor
_KEY, _VALUE = 1, 2  # of a metadata entry

_FLOAT32 = 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BITS = 70  # of ten bytes


def with_weights(
    model: bytes, weights: Mapping[str, Tensor], metadata: Mapping[str, str], *, where: str
) -> bytes:
    """The model with other float32 weights and with other metadata.

    Args:
        model: the bytes of an ONNX file.
        weights: name of an initialiser to its new values.
        metadata: all that the new file shall have, as texts that UTF-8 can hold.
        where: the model's name, for the error.

    Raises:
        InvalidModelError: it is no ONNX model, or lacks one of the weights.
    """
    left = dict(weights)
    said = b"".join(
        _field(_METADATA, _field(_KEY, key.encode()) + _field(_VALUE, value.encode()))
        for key, value in metadata.items()
    )
    try:
        new = b"".join(_new_model(model, left)) + said
    except (ValueError, IndexError) as error:
        raise InvalidModelError(
            f"{where} is no ONNX model, or a broken one", hint="export it again"
        ) from error
    if left:
        name, tensor = next(iter(left.items()))
        raise InvalidModelError(
            f"{where} has no weights {name!r} of shape {tensor.shape}",
            hint="give the adaptation graph and the model of one export: they belong together",
        )
    return new


@dataclass(frozen=True, slots=True)
class _Field:
    number: int
    value: bytes | int
    encoded: bytes


def _new_model(model: bytes, left: dict[str, Tensor]) -> Iterator[bytes]:
    for field in _fields(model):
        if field.number == _GRAPH:
            yield _field(_GRAPH, b"".join(_new_graph(_bytes(field), left)))
        elif field.number != _METADATA:
            yield field.encoded


def _new_graph(graph: bytes, left: dict[str, Tensor]) -> Iterator[bytes]:
    for field in _fields(graph):
        if field.number == _INITIALISER:
            name, shape = _name_and_shape(_bytes(field))
            if name in left and left[name].shape == shape:
                yield _field(_INITIALISER, _tensor(name, left.pop(name)))
                continue
        yield field.encoded


def _name_and_shape(tensor: bytes) -> tuple[str, tuple[int, ...]]:
    name, shape = "", []
    for field in _fields(tensor):
        if field.number == _NAME:
            name = _bytes(field).decode()
        elif field.number == _DIMS:
            shape += [field.value] if isinstance(field.value, int) else _varints(field.value)
    return name, tuple(shape)


def _tensor(name: str, tensor: Tensor) -> bytes:
    return b"".join(
        (
            *(_number(_DIMS, side) for side in tensor.shape),
            _number(_DATA_TYPE, _FLOAT32),
            _field(_NAME, name.encode()),
            _field(_RAW_DATA, tensor.data),
        )
    )


def _fields(message: bytes) -> Iterator[_Field]:
    """Raises IndexError or ValueError where the bytes are no message."""
    place = 0
    while place < len(message):
        start = place
        tag, place = _read_varint(message, place)
        number, kind = tag >> 3, tag & 7
        value: bytes | int
        if kind == _VARINT:
            value, place = _read_varint(message, place)
        else:
            if kind == _BYTES:
                size, place = _read_varint(message, place)
            else:
                size = {_FIXED64: 8, _FIXED32: 4}[kind] if kind in (_FIXED64, _FIXED32) else -1
            if size < 0 or place + size > len(message):
                raise ValueError
            value = message[place : place + size]
            place += size
        yield _Field(number, value, message[start:place])


def _bytes(field: _Field) -> bytes:
    if isinstance(field.value, bytes):
        return field.value
    raise ValueError


def _varints(packed: bytes) -> list[int]:
    values, place = [], 0
    while place < len(packed):
        value, place = _read_varint(packed, place)
        values.append(value)
    return values


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    """The number, and where it ends."""
    value = 0
    for shift in range(0, _VARINT_BITS, 7):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value
