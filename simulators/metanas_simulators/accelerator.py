"""Accelerator: an array of processing elements as data, as a device file describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Self

from metanas.errors import DeviceProfileError

DATAFLOWS = {
    "ws": "weight-stationary",
    "os": "output-stationary",
    "is": "input-stationary",
    "rs": "row-stationary",
}
"""Which operand stays in the array, by the name that device files use."""

LARGEST_SIDE = 2**16
"""Of an array, in processing elements, so that counts of cycles stay exact integers."""


@dataclass(frozen=True, slots=True)
class Sram:
    """Buffers between the array and DRAM.

    Args:
        ifmap_kib: for input maps, in units of 1024 bytes.
        filter_kib: for weights.
        ofmap_kib: for outputs and partial sums.
        word_bytes: of one value.

    Raises:
        DeviceProfileError: a value is impossible; the message names it.
    """

    ifmap_kib: int
    filter_kib: int
    ofmap_kib: int
    word_bytes: int

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_count(f"sram.{field.name}", getattr(self, field.name))

    def __str__(self) -> str:
        buffers = f"{self.ifmap_kib} + {self.filter_kib} + {self.ofmap_kib} KiB"
        return f"SRAM of {buffers} (ifmap, filter, ofmap), words of {self.word_bytes} bytes"


@dataclass(frozen=True, slots=True)
class Accelerator:
    """An array of processing elements, and how it is used.

    Args:
        rows: of processing elements.
        columns: of processing elements.
        dataflow: one of `DATAFLOWS`.
        clock_mhz: cycles a microsecond.
        sram: its buffers, None if they are not known; closed forms do without.

    Raises:
        DeviceProfileError: a value is impossible; the message names it.
    """

    rows: int
    columns: int
    dataflow: str
    clock_mhz: float
    sram: Sram | None = None

    def __post_init__(self) -> None:
        for name in ("rows", "columns"):
            _check_count(name, getattr(self, name), largest=LARGEST_SIDE)
        if type(self.clock_mhz) not in (int, float) or not 0 < self.clock_mhz < float("inf"):
            raise DeviceProfileError(
                f"clock_mhz is {self.clock_mhz!r}", hint="use a number above 0"
            )
        if self.dataflow not in tuple(DATAFLOWS):
            raise DeviceProfileError(
                f"dataflow is {self.dataflow!r}", hint=f"use one of {', '.join(DATAFLOWS)}"
            )

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """The accelerator that a device file describes.

        Raises:
            DeviceProfileError: a field is missing, unknown or impossible; the message names it.
        """
        values = dict(settings)
        _check_names(cls, values)
        if "sram" in values:
            sram = values["sram"]
            if not isinstance(sram, Mapping):
                raise DeviceProfileError(
                    f"sram is {sram!r}", hint=f"write a section [sram] with {_names(Sram)}"
                )
            _check_names(Sram, sram, prefix="sram.")
            values["sram"] = Sram(**sram)
        return cls(**values)


def _check_count(name: str, value: object, *, largest: int | None = None) -> None:
    if type(value) is not int or value < 1:
        raise DeviceProfileError(f"{name} is {value!r}", hint="use an integer of 1 or more")
    if largest is not None and value > largest:
        raise DeviceProfileError(f"{name} is {value}", hint=f"use at most {largest}")


def _check_names(described: type, values: Mapping[str, object], *, prefix: str = "") -> None:
    known = {field.name: field.default is MISSING for field in fields(described)}
    missing = [name for name, needed in known.items() if needed and name not in values]
    for what, names in (
        ("lacks", missing),
        ("does not know", sorted(values.keys() - known)),
    ):
        if names:
            raise DeviceProfileError(
                f"the accelerator {what} {', '.join(prefix + name for name in names)}",
                hint=f"the fields are {_names(described)}",
            )


def _names(described: type) -> str:
    return ", ".join(field.name for field in fields(described))
