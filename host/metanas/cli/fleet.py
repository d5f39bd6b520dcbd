"""A fleet: several devices worked on side by side, one thread and one progress bar each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Generic, TypeVar

from metanas.cli.progress import Advance, progress_bars
from metanas.cli.shell import say
from metanas.devices import Device, canonical_name, inventory, open_device
from metanas.errors import AgentUnreachableError, MetanasError, UnknownDeviceError

ALL = "all"

_STOP_LIMIT_S = 10.0  # for hanging up; journals and agents survive a harder end too

R = TypeVar("R")
Failure = MetanasError | OSError


def fleet_names(text: str) -> tuple[str, ...]:
    """The devices that `pi0`, `pi0,pi4` or `all` means, each once.

    `all` is every paired board that answers; those that do not are named on the console.

    Raises:
        AgentUnreachableError: none of the paired boards answers.
        AmbiguousDeviceError: a name is that of several boards.
        UnknownDeviceError: `all`, but no board is paired, or no name at all.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UnknownDeviceError(
            f"{text!r} names no device", hint="write --device pi0, --device pi0,pi4 or --device all"
        )
    found: dict[str, None] = {}
    for name in names:
        found |= dict.fromkeys(_all_that_answer() if name == ALL else [canonical_name(name)])
    return tuple(found)


def run_fleet(names: Sequence[str], work: Callable[[Device, Advance], R]) -> dict[str, R | Failure]:
    """Do the work on all devices at once; one that fails does not stop the others.

    Ctrl-C stops all of them and is raised again.

    Args:
        names: of the devices.
        work: gets a device and its progress bar.

    Returns:
        By name, in the order given: what `work` gave, or why it failed.
    """
    stop = threading.Event()
    with progress_bars() as add_bar:
        members = [_Member(name, work, add_bar(name, None), stop) for name in names]
        for member in members:
            member.start()
        try:
            for member in members:
                member.join()
        except BaseException:
            stop.set()
            for member in members:
                member.join(_STOP_LIMIT_S)
            raise
    return {member.device_name: member.outcome() for member in members}


class _Stopped(Exception):  # noqa: N818 - no error
    """Somebody pressed Ctrl-C."""


class _Member(threading.Thread, Generic[R]):
    """One device's thread. A daemon: a device that hangs cannot keep the program from ending."""

    def __init__(
        self,
        device_name: str,
        work: Callable[[Device, Advance], R],
        advance: Advance,
        stop: threading.Event,
    ) -> None:
        super().__init__(name=device_name, daemon=True)
        self.device_name = device_name
        self._work = work
        self._advance = advance
        self._stop_asked = stop
        self._result: R | BaseException

    def run(self) -> None:
        """Keep the result or the failure for the main thread."""
        try:
            with closing(open_device(self.device_name, on_wait=self._wait)) as device:
                self._result = self._work(device, self._go_on)
            self._advance(detail="done")
        except BaseException as error:  # raised again where somebody sees it
            self._result = error
            self._advance(detail="stopped" if isinstance(error, _Stopped) else "failed")

    def outcome(self) -> R | Failure:
        """What `work` gave, or why it failed; what is nobody's fault but ours is raised."""
        if isinstance(self._result, BaseException) and not isinstance(
            self._result, (MetanasError, OSError)
        ):
            raise self._result
        return self._result

    def _go_on(
        self, done: int | None = None, *, total: int | None = None, detail: str = ""
    ) -> None:
        if self._stop_asked.is_set():
            raise _Stopped
        self._advance(done, total=total, detail=detail)

    def _wait(self, reason: str) -> None:
        self._go_on(detail=reason)


def _all_that_answer() -> list[str]:
    boards = [entry for entry in inventory().entries if entry.paired]
    if not boards:
        raise UnknownDeviceError(
            "no board is paired", hint="pair with one first: metanas-profile pair USER@HOST"
        )
    reached = [entry.name for entry in boards if entry.state != "unreachable"]
    missing = [entry.name for entry in boards if entry.state == "unreachable"]
    if not reached:
        raise AgentUnreachableError(
            f"none of the paired boards answers: {', '.join(missing)}",
            hint="are they switched on and in this network? metanas-profile devices says more",
        )
    if missing:
        say(f"left out, for they do not answer: {', '.join(missing)}")
    return reached
