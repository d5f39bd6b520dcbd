"""The header of a table's file, from plain TOML values: a wrong one is named with its section."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from metanas.devices.device import DeviceDescription
from metanas.profiling.table.header import Calibration, Sentinel, TableHeader

T = TypeVar("T", DeviceDescription, Sentinel, Calibration)


def header_of(head: Mapping[str, Any]) -> TableHeader:
    """The header that these values say.

    Raises:
        ValueError: a section or a value is missing, unknown or of the wrong kind.
    """
    device = {"runtimes": {}, **_section(head, "device")}  # TOML has no line for an empty one
    spaces = head.get("space", [])
    if type(spaces) is not list:
        raise ValueError(f"[[space]] is {spaces!r}")
    return TableHeader(
        device=_record(DeviceDescription, "device", device),
        spaces=tuple(_scalars("space", space) for space in spaces),
        timer=_scalars("timer", _section(head, "timer")),
        sentinel=_optional(Sentinel, head, "sentinel"),
        made=_scalars("made", _section(head, "made")),
        calibration=_optional(Calibration, head, "calibration"),
        left_out=_left_out(head),
    )


def _section(head: Mapping[str, Any], name: str) -> dict[str, Any]:
    if name not in head:
        raise ValueError(f"there is no [{name}]")
    return _as_section(name, head[name])


def _as_section(name: str, values: object) -> dict[str, Any]:
    if isinstance(values, dict):
        return values
    raise ValueError(f"[{name}] is {values!r}")


def _optional(kind: type[T], head: Mapping[str, Any], name: str) -> T | None:
    return _record(kind, name, _section(head, name)) if name in head else None


def _record(kind: type[T], section: str, values: dict[str, Any]) -> T:
    known = {field.name: field for field in fields(kind)}
    for name in values:
        if name not in known:
            raise ValueError(f"[{section}] has an unknown {name!r}")
    for name, field in known.items():
        if name in values:
            if not _POSSIBLE[str(field.type)](values[name]):
                raise ValueError(f"[{section}] {name} is {values[name]!r}")
        elif field.default is field.default_factory is MISSING:
            raise ValueError(f"[{section}] has no {name!r}")
    return kind(**values)


def _scalars(section: str, values: object) -> dict[str, Any]:
    found = _as_section(section, values)
    for name, value in found.items():
        if not isinstance(value, (str, bool)) and not _is_number(value):
            raise ValueError(f"[{section}] {name} is {value!r}")
    return found


def _left_out(head: Mapping[str, Any]) -> dict[str, str]:
    left_out = _as_section("left_out", head.get("left_out", {}))
    if not _is_texts(left_out):
        raise ValueError("[left_out] does not say why")
    return left_out


def _is_integer(value: object) -> bool:
    return type(value) is int  # no boolean


def _is_number(value: object) -> bool:
    number = isinstance(value, (int, float)) and type(value) is not bool
    return number and abs(value) <= sys.float_info.max  # type: ignore[arg-type]


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_made(value: object) -> bool:
    return isinstance(value, dict) and all(_is_text(v) or _is_integer(v) for v in value.values())


_POSSIBLE: dict[str, Callable[[object], bool]] = {
    "int": _is_integer,
    "int | None": _is_integer,
    "float": _is_number,
    "str": _is_text,
    "dict[str, str]": _is_texts,
    "dict[str, str | int]": _is_made,
}
"""What TOML may say of a field, by the field's annotation."""
