"""One progress bar for every long command, and the profiling that two commands share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from metanas.cli.shell import console
from metanas.devices import Device
from metanas.profiling import LatencyTable, SweepProgress, profile
from metanas.spaces import SearchSpace
from metanas_agent.timer import TimerSettings


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


def profile_device(
    device: Device,
    space: SearchSpace[Any],
    timer: TimerSettings,
    out: Path,
    *,
    rounds: int,
    fresh: bool = False,
) -> LatencyTable:
    """Time every layer of the space; see `metanas.profiling.profile`."""
    with progress_bar(f"profiling {device.name}") as advance:

        def observe(progress: SweepProgress) -> None:
            advance(progress.done, total=progress.total)

        return profile(
            device,
            space,
            timer,
            out,
            rounds=rounds,
            seed=timer.seed,
            fresh=fresh,
            on_progress=observe,
        )
