"""What this machine says of itself: read, never guessed; None where it does not say."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path
from typing import NamedTuple

from metanas_agent.energy import EnergyCounter, find_counter
from metanas_agent.kernel_files import names_in, read_number, read_text
from metanas_agent.measurement import SystemState
from metanas_agent.sensors import CPUS, Sensors, processor_zones


class _Family(NamedTuple):
    """How a kind of processor shows in the system's files, whatever program asks."""

    machines: tuple[str, ...]
    modalias: str
    cpuinfo: re.Pattern[str]


_FAMILIES = (
    _Family(("x86", "i"), "type:x86", re.compile(r"^flags\s*:.*\bfpu\b", re.MULTILINE)),
    _Family(("aarch64", "arm"), "type:a", re.compile(r"^CPU implementer\s*:", re.MULTILINE)),
)
_SIZE = re.compile(r"(\d{1,9})([KMG]?)", re.ASCII)
_SIZE_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
_CORE = re.compile(r"cpu(\d{1,5})", re.ASCII)


class System:
    """Reads the system's files.

    Args:
        root: where `sys` and `proc` are found.
        machine: the processor's kind as the system calls it; None asks the system.
    """

    def __init__(self, root: Path = Path("/"), *, machine: str | None = None) -> None:
        self._root = root
        self.machine = machine or platform.machine()
        self._cpus = root / CPUS
        self._sensors = Sensors(root)

    def state(self, core: int | None = None) -> SystemState:
        """The state at this instant, of the core that the work is pinned to if it is."""
        return self._sensors.state(core)

    def processor_zones(self) -> list[str]:
        """Folders of the thermal zones that are the processor's."""
        return processor_zones(self._root)

    def last_cache_bytes(self, core: int | None = None) -> int | None:
        """Size of the last cache before memory, as one core sees it."""
        caches = self._cpus / f"cpu{core or 0}/cache"
        sizes = [
            int(match[1]) * _SIZE_UNITS[match[2]]
            for name in names_in(caches)
            if (match := _SIZE.fullmatch(read_text(caches / name / "size") or ""))
        ]
        return max(sizes, default=None)

    def energy_counter(self, core: int | None = None) -> EnergyCounter | None:
        """What counts the energy of a core; None where nothing does, or only for root."""
        return find_counter(self._root, core)

    def emulated(self) -> bool:
        """Whether another processor plays the part of this one, or `METANAS_EMULATED` says so."""
        if os.environ.get("METANAS_EMULATED", "0") not in ("", "0"):
            return True
        kernel = read_text(self._cpus / "modalias") or ""
        return any(
            (family.modalias in kernel or family.cpuinfo.search(self._cpuinfo()))
            and not self.machine.startswith(family.machines)
            for family in _FAMILIES
        )

    def abi(self) -> str:
        """What programs this process's kind is, such as `armv6l`."""
        narrow = sys.maxsize < 2**32
        return "armv7l" if narrow and self.machine == "aarch64" else self.machine

    def processor(self) -> str:
        """The processor's or board's own name; empty where the system does not tell."""
        name = re.search(r"^model name\s*:\s*(.+)$", self._cpuinfo(), re.MULTILINE)
        board = read_text(self._root / "proc/device-tree/model")
        names = (board, name[1] if name else None)
        return ", ".join(text.strip("\0 ") for text in names if text)

    def text(self, path: str) -> str | None:
        """What a file says; the path is below the root."""
        return read_text(self._root / path)

    def number(self, path: str) -> float | None:
        """The number that a file holds."""
        return read_number(self._root / path)

    def names(self, folder: str) -> list[str]:
        """Names of what is in a folder, sorted; none where there is no such folder."""
        return names_in(self._root / folder)

    def by_core(self, file: str) -> dict[int, str]:
        """What a file of each core says, such as `cpufreq/scaling_governor`, where there is one."""
        cores = (_CORE.fullmatch(name) for name in self.names(CPUS))
        numbers = sorted(int(core[1]) for core in cores if core)
        texts = {number: self.text(f"{CPUS}/cpu{number}/{file}") for number in numbers}
        return {number: text for number, text in texts.items() if text is not None}

    def memory_bytes(self) -> int | None:
        """Memory of the whole machine."""
        return self._meminfo("MemTotal")

    def available_memory_bytes(self) -> int | None:
        """Memory that a new process could use now."""
        return self._meminfo("MemAvailable")

    @staticmethod
    def cores() -> int:
        """Cores that this process may use."""
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1

    @staticmethod
    def name() -> str:
        """Operating system and release."""
        return f"{platform.system()} {platform.release()}"

    def _cpuinfo(self) -> str:
        return read_text(self._root / "proc/cpuinfo") or ""

    def _meminfo(self, field: str) -> int | None:
        meminfo = read_text(self._root / "proc/meminfo") or ""
        match = re.search(rf"^{field}:\s*(\d{{1,15}}) kB$", meminfo, re.MULTILINE)
        return int(match[1]) * 1024 if match else None
