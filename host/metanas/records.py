"""Plain values from a JSON file become a dataclass, checked field by field."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

_LARGEST = sys.float_info.max


def from_plain(kind: type[T], values: object, where: str = "") -> T:
    """Make a dataclass out of a mapping as JSON gives it; unknown fields are ignored.

    A field may be a number, text, boolean, `Any`, a dataclass, one of these or None, a
    `tuple[X, ...]` or a `dict[str, X]`.

    Args:
        kind: the dataclass.
        values: what was read.
        where: path of `values` in the file, for the message.

    Raises:
        ValueError: a field is missing or of another kind; the message names it.
    """
    if not isinstance(values, dict):
        raise _unexpected("an object", values, where)
    hints = get_type_hints(kind)
    arguments = {}
    for field in fields(kind):  # type: ignore[arg-type]
        path = f"{where}.{field.name}" if where else field.name
        if field.name in values:
            arguments[field.name] = _convert(hints[field.name], values[field.name], path)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{path} is missing")
    return kind(**arguments)


def _convert(hint: Any, value: object, where: str) -> Any:
    if hint is Any:
        return value
    if isinstance(hint, UnionType):
        return _optional(hint, value, where)
    if get_origin(hint) is tuple:
        return tuple(
            _convert(get_args(hint)[0], item, f"{where}[{index}]")
            for index, item in enumerate(_expect(list, "a list", value, where))
        )
    if get_origin(hint) is dict:
        items = _expect(dict, "an object", value, where).items()
        return {name: _convert(get_args(hint)[1], item, f"{where}.{name}") for name, item in items}
    if is_dataclass(hint):
        return from_plain(hint, value, where)  # type: ignore[arg-type]
    return _SCALARS[hint](value, where)


def _optional(hint: UnionType, value: object, where: str) -> Any:
    if value is None and NoneType in get_args(hint):
        return None
    (inner,) = (part for part in get_args(hint) if part is not NoneType)
    return _convert(inner, value, where)


def _integer(value: object, where: str) -> int:
    if type(value) is not int:
        raise _unexpected("an integer", value, where)
    return value


def _number(value: object, where: str) -> float:
    if type(value) not in (int, float) or not abs(value) <= _LARGEST:  # type: ignore[arg-type]
        raise _unexpected("a finite number", value, where)
    return value  # type: ignore[return-value]


def _expect(kind: type[T], name: str, value: object, where: str) -> T:
    if not isinstance(value, kind):
        raise _unexpected(name, value, where)
    return value


_SCALARS: dict[type, Callable[[object, str], Any]] = {
    int: _integer,
    float: _number,
    str: lambda value, where: _expect(str, "text", value, where),
    bool: lambda value, where: _expect(bool, "true or false", value, where),
}


def _unexpected(wanted: str, value: object, where: str) -> ValueError:
    return ValueError(f"{where or 'the file'} is {str(value)[:60]!r}, not {wanted}")
