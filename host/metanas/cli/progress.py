"""One progress bar for every long command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from metanas.cli.shell import console


class Advance(Protocol):
    """Moves the bar."""

    def __call__(self, done: int, *, total: int | None = None, detail: str = "") -> None:
        """Say how much is done, of how much, and how it goes."""


@contextmanager
def progress_bar(description: str, total: int | None = None) -> Iterator[Advance]:
    """Show a bar on the console while the block runs."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(description, total=total, detail="")

        def advance(done: int, *, total: int | None = None, detail: str = "") -> None:
            known = {} if total is None else {"total": total}
            bars.update(task, completed=done, detail=detail, **known)  # type: ignore[arg-type]

        yield advance
