"""Who used the processor between two instants, by the kernel's own accounts."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from metanas_agent.system import System

_IDLE, _IO_WAIT, _STEAL = 3, 4, 7
_COLUMNS = 8
"""user, nice, system, idle, iowait, irq, softirq, steal; guests' time is in the user's already."""

_KERNEL_THREAD = 0x0020_0000
_NUMBER = re.compile(r"\d{1,20}", re.ASCII)


class Process(NamedTuple):
    """One process; its ticks are user's and system's together."""

    name: str
    ticks: int
    is_kernel: bool


class Snapshot(NamedTuple):
    """Ticks of the whole machine since boot, none where it does not tell, and of each process."""

    ticks: tuple[int, ...]
    cores: int
    processes: dict[int, Process]


class Share(NamedTuple):
    """How much of one core a process used."""

    process_id: int
    name: str
    share: float
    is_kernel: bool


class Activity(NamedTuple):
    """What happened between two snapshots.

    Args:
        others: cores used by others than us.
        stolen: share of the time that the hypervisor gave to others.
        shares: of the other processes that used any, the busiest first.
    """

    others: float
    stolen: float
    shares: tuple[Share, ...]


def snapshot(system: System) -> Snapshot:
    """The accounts of this instant."""
    lines = [line.split() for line in (system.text("proc/stat") or "").splitlines()]
    totals = next((line[1 : _COLUMNS + 1] for line in lines if line[:1] == ["cpu"]), [])
    counted = len(totals) == _COLUMNS and all(map(_NUMBER.fullmatch, totals))
    processes = {
        int(name): process
        for name in system.names("proc")
        if _NUMBER.fullmatch(name) and (process := _process(system.text(f"proc/{name}/stat")))
    }
    return Snapshot(
        ticks=tuple(map(int, totals)) if counted else (),
        cores=sum(bool(line and re.fullmatch(r"cpu\d+", line[0], re.ASCII)) for line in lines),
        processes=processes,
    )


def between(before: Snapshot, after: Snapshot, ours: Collection[int]) -> Activity | None:
    """What happened; None where the accounts do not say.

    Args:
        before: the earlier accounts.
        after: the later ones.
        ours: ids of processes that are not somebody else's.
    """
    if not before.ticks or not after.ticks or not after.cores:
        return None
    spent = [late - early for early, late in zip(before.ticks, after.ticks, strict=True)]
    total = sum(spent)
    if total <= 0 or max(map(abs, spent)) > total:
        return None
    elapsed = total / after.cores
    used = {
        number: max(0, process.ticks - _ticks_of(before.processes.get(number)))
        for number, process in after.processes.items()
    }
    own = sum(ticks for number, ticks in used.items() if number in ours)
    busy = total - spent[_IDLE] - spent[_IO_WAIT] - spent[_STEAL] - own
    shares = [
        Share(number, process.name, used[number] / elapsed, process.is_kernel)
        for number, process in after.processes.items()
        if used[number] and number not in ours
    ]
    shares.sort(key=lambda share: share.share, reverse=True)
    return Activity(max(0.0, busy / elapsed), max(0.0, spent[_STEAL] / total), tuple(shares))


def stolen_since_boot(accounts: Snapshot) -> float:
    """Share of all time that the hypervisor gave to others."""
    total = sum(accounts.ticks)
    return accounts.ticks[_STEAL] / total if total else 0.0


def _ticks_of(process: Process | None) -> int:
    return process.ticks if process else 0


def _process(stat: str | None) -> Process | None:
    """Read `/proc/PID/stat`; the name in brackets may itself hold brackets and spaces."""
    head, bracket, rest = (stat or "").rpartition(")")
    fields = rest.split()
    wanted = [fields[place] for place in (6, 11, 12)] if len(fields) > 12 else []
    if not bracket or not wanted or not all(map(_NUMBER.fullmatch, wanted)):
        return None
    flags, user, kernel = map(int, wanted)
    return Process(head.partition("(")[2], user + kernel, bool(flags & _KERNEL_THREAD))
