"""Which tables a search may price architectures with: those of a real device's single images."""

from __future__ import annotations

from pathlib import Path

from metanas.errors import BatchTableError, EmulatedTableError
from metanas.profiling.table.file import read_header
from metanas.profiling.table.header import dtype_of_spaces


def refuse_emulated(path: Path) -> None:
    """See that a table does not come from an emulator, whose times are nobody's.

    Raises:
        EmulatedTableError: it does.
        TableError: the file is missing or its header is broken.
    """
    if read_header(path).get("source") == "emulated":
        raise EmulatedTableError(
            f"{path} was timed under an emulator: it says nothing of a real board's speed",
            hint="measure the board itself, or give --allow-emulated to try things out",
        )


def refuse_batched(path: Path) -> None:
    """See that a table's times are those of one image a call, as a board classifies.

    Raises:
        BatchTableError: they are not.
        TableError: the file is missing or its header is broken.
    """
    batch = read_header(path).get("timer", {}).get("batch", 1)
    if batch != 1:
        raise BatchTableError(
            f"{path} was timed with {batch} images a call: a search needs the time of one",
            hint="profile the device without --batch",
        )


def table_dtype(path: Path) -> str:
    """What the layers of a table's space compute in; tables of one space have one dtype.

    Raises:
        TableError: the file is missing or its header is broken.
    """
    return dtype_of_spaces(read_header(path).get("space", []))
