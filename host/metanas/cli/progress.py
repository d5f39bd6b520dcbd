"""Progress bars for every long command, and the profiling that two commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from threading import Timer
from typing import Any, Protocol

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from metanas.cli.shell import console, say
from metanas.devices import Device
from metanas.profiling import LatencyTable, SweepProgress, profile
from metanas.spaces import SearchSpace
from metanas_agent.timer import TimerSettings

_SPEED_OVER_S = 300.0
"""A round of a search may take a minute."""

_LINE_EVERY_S = 10.0
_LINE_EVERY_SHARE = 0.01
"""Of the time so far."""


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
    """Show bars on the console while the block runs; what it gives adds one, from any thread.

    Where nobody watches, as in a log, lines take their place. What did not move at all, for it was
    done before, leaves no trace.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    bars = Progress(*columns, console=console, speed_estimate_period=_SPEED_OVER_S)
    added: list[_Bar] = []

    def add_bar(description: str, total: int | None = None) -> Advance:
        bar = (_Bar if console.is_interactive else _Lines)(bars, description, total)
        added.append(bar)
        return bar

    with bars if console.is_interactive else nullcontext():
        try:
            yield add_bar
        finally:
            for bar in added:
                bar.end()


class _Bar:
    """One bar."""

    def __init__(self, bars: Progress, description: str, total: int | None) -> None:
        self._bars = bars
        self._id = bars.add_task(description, total=total, detail="")
        self._moved = False

    def __call__(
        self, done: int | None = None, *, total: int | None = None, detail: str = ""
    ) -> None:
        self._moved = True
        self._bars.update(self._id, completed=done, total=total, detail=detail)

    def end(self) -> None:
        if not self._moved:
            self._bars.remove_task(self._id)


class _Lines(_Bar):
    """Lines that say what a bar would show: ever fewer, the longer it takes.

    The first comes with the first step, or when that is long in coming.
    """

    def __init__(self, bars: Progress, description: str, total: int | None) -> None:
        super().__init__(bars, description, total)
        self._task = next(task for task in bars.tasks if task.id == self._id)
        self._next_s = 0.0
        self._said = self._figures()
        self._sign_of_life = Timer(_LINE_EVERY_S, self._say)
        self._sign_of_life.daemon = True
        self._sign_of_life.start()

    def __call__(
        self, done: int | None = None, *, total: int | None = None, detail: str = ""
    ) -> None:
        super().__call__(done, total=total, detail=detail)
        self._sign_of_life.cancel()
        elapsed_s = self._task.elapsed or 0.0
        if elapsed_s >= self._next_s:
            self._next_s = elapsed_s + max(_LINE_EVERY_S, _LINE_EVERY_SHARE * elapsed_s)
            self._say()

    def end(self) -> None:
        self._sign_of_life.cancel()
        if self._figures() != self._said:
            self._say()

    def _figures(self) -> tuple[float, float | None, str]:
        return self._task.completed, self._task.total, self._task.fields["detail"]

    def _say(self) -> None:
        self._said = self._figures()
        task = self._task
        parts = [task.description]
        if task.total is not None:
            parts[0] += f" {task.completed:.0f}/{task.total:.0f}"
        parts.append(f"{timedelta(seconds=int(task.elapsed or 0))} so far")
        if left_s := task.time_remaining:
            parts[-1] += f", {timedelta(seconds=int(left_s))} left"
        if detail := task.fields["detail"]:
            parts.append(detail)
        say("  ".join(parts))


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
