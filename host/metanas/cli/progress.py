"""Progress bars for every long command, and the profiling that two commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

    def __call__(
        self, done: int | None = None, *, total: int | None = None, detail: str = ""
    ) -> None:
        """Say how much is done, of how much (None: as before), and how it goes."""


@contextmanager
def progress_bar(description: str, total: int | None = None) -> Iterator[Advance]:
    """Show a bar on the console while the block runs."""
    with progress_bars() as add_bar:
        yield add_bar(description, total)


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int | None], Advance]]:
    """Show bars on the console while the block runs; what it gives adds one, from any thread."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    with Progress(*columns, console=console) as bars:

        def add_bar(description: str, total: int | None = None) -> Advance:
            task = bars.add_task(description, total=total, detail="")

            def advance(
                done: int | None = None, *, total: int | None = None, detail: str = ""
            ) -> None:
                bars.update(task, completed=done, total=total, detail=detail)

            return advance

        yield add_bar


def profile_device(
    device: Device,
    space: SearchSpace[Any],
    timer: TimerSettings,
    out: Path,
    *,
    advance: Advance,
    rounds: int,
    fresh: bool = False,
    budget_s: float | None = None,
) -> LatencyTable:
    """Time every layer of the space; see `metanas.profiling.profile`."""

    def observe(progress: SweepProgress) -> None:
        advance(progress.done, total=progress.total, detail=progress.note)

    return profile(
        device,
        space,
        timer,
        out,
        rounds=rounds,
        seed=timer.seed,
        fresh=fresh,
        budget_s=budget_s,
        on_progress=observe,
    )
