"""Which latency tables a run can use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from metanas.errors import TableMismatchError
from metanas.profiling import (
    LatencyTable,
    read_table,
    refuse_batched,
    refuse_emulated,
    table_dtype,
)
from metanas.profiling.table import Scalar
from metanas.spaces import SearchSpace

_PROFILED = ("space", "input", "ways", "downsampling", "pool", "dtype")
"""Settings of a space for which `metanas-profile` has an option of that name."""

_UNSAID: dict[str, Scalar] = {"dtype": "float32"}
"""Settings that a space leaves out where they are these."""


def tables_by_device(paths: Iterable[Path], *, allow_emulated: bool = False) -> dict[str, Path]:
    """Device name to table, of tables that a search may price architectures with.

    Raises:
        BatchTableError: a table is of several images a call.
        EmulatedTableError: a table comes from an emulator, and that was not asked for.
        TableError: a table cannot be read.
        TableMismatchError: two tables are of one device, or the tables are of several dtypes.
    """
    found: dict[str, Path] = {}
    for path in paths:
        refuse_batched(path)
        if not allow_emulated:
            refuse_emulated(path)
        device = read_table(path).header.device.name
        if device in found:
            raise TableMismatchError(
                f"{found[device]} and {path} are both of {device}",
                hint="give one table a device; metanas-profile merge makes one of two",
            )
        found[device] = path
    common_dtype(found)
    return found


def common_dtype(tables: Mapping[str, Path]) -> str:
    """What the layers of all these tables, by device name, compute in.

    Raises:
        TableMismatchError: the tables are of several dtypes.
        TableError: a table cannot be read.
    """
    dtypes = {device: table_dtype(path) for device, path in tables.items()}
    if len(set(dtypes.values())) > 1:
        told = ", ".join(f"{device}: {dtype}" for device, dtype in dtypes.items())
        raise TableMismatchError(
            f"the tables are of several dtypes ({told})",
            hint="search each dtype in a run folder of its own: metanas adapt --supernet",
        )
    return next(iter(dtypes.values()), "float32")


def refuse_other_space(table: LatencyTable, space: SearchSpace[Any]) -> None:
    """See that a table which lacks layers of a space was at least meant for it.

    Raises:
        TableMismatchError: it is of other spaces only; says what differs.
    """
    asked = _UNSAID | space.settings
    others = [
        {
            name: (found.get(name), value)
            for name, value in asked.items()
            if found.get(name) != value
        }
        for found in (_UNSAID | settings for settings in table.header.spaces)
    ]
    if not others or not all(others) or not table.missing(space.all_layers):
        return
    differing = min(others, key=len)
    name = table.header.device.name
    told = ", ".join(f"{what} {there}, not {here}" for what, (there, here) in differing.items())
    options = " ".join(f"--{option} {asked[option]}" for option in _PROFILED if option in asked)
    raise TableMismatchError(
        f"the table of {name} is of another space than this run: {told}",
        hint=f"give one of this space: metanas-profile --device {name} {options}",
    )
