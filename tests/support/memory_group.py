"""MemoryGroup: processes with so much memory and no more; the kernel kills what wants more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_V1 = {"limit": "memory.limit_in_bytes", "with_swap": "memory.memsw.limit_in_bytes"}
_V2 = {"limit": "memory.max", "with_swap": "memory.swap.max"}


class MemoryGroup:
    """A control group of the kernel's, of version 1 or 2, below this process's own.

    Args:
        folder: of the group.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = _V2 if (folder / _V2["limit"]).exists() else _V1

    def add(self, pid: int) -> None:
        """A process, and what it starts from now on; what it has taken before does not count."""
        (self._folder / "cgroup.procs").write_text(str(pid))

    def limit(self, most_bytes: int) -> None:
        """The memory of all of them together, swap included."""
        (self._folder / self._files["limit"]).write_text(str(most_bytes))
        swap = self._folder / self._files["with_swap"]
        if swap.exists():
            swap.write_text("0" if self._files is _V2 else str(most_bytes))

    @property
    def kills(self) -> int:
        """How many of them the kernel has killed for want of memory."""
        events = "memory.events" if self._files is _V2 else "memory.oom_control"
        told = (self._folder / events).read_text()
        return int(re.search(r"^oom_kill (\d+)$", told, re.MULTILINE)[1])


@contextmanager
def memory_group(name: str) -> Iterator[MemoryGroup]:
    """Such a group, without a limit, until the block ends; by then its processes must have ended.

    Skips the test where the kernel lets us make none.
    """
    try:
        folder = _own_group() / name
        folder.mkdir()
    except (OSError, LookupError) as error:
        pytest.skip(f"no control group for memory can be made: {error}")
    try:
        if not any((folder / files["limit"]).exists() for files in (_V1, _V2)):
            pytest.skip("memory is not limited by control groups here")
        yield MemoryGroup(folder)
    finally:
        folder.rmdir()


def _own_group() -> Path:
    """This process's, in version 1's hierarchy of memory if there is one, else in version 2's."""
    own = re.search(r"^\d+:memory:(.+)$|^0::(.+)$", Path("/proc/self/cgroup").read_text(), re.M)
    if own is None:
        raise LookupError("this kernel has none")
    version, option = ("cgroup", r"\S*\bmemory\b") if own[1] else ("cgroup2", "")
    mounted = re.search(
        rf"^\S+ (\S+) {version} {option}", Path("/proc/self/mounts").read_text(), re.M
    )
    if mounted is None:
        raise LookupError("they are not mounted")
    return Path(mounted[1] + (own[1] or own[2]))
