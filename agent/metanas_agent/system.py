"""What this machine says of itself: read, never guessed; None where it does not say."""

from __future__ import annotations

import math
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from metanas_agent.measurement import SystemState

THROTTLED_NOW = 0xF
"""Bits of Raspberry Pi firmware that hold now: under-voltage, capped, throttled, soft limit.

The bits above them say the same of any time since boot.
"""


class _Family(NamedTuple):
    """How a kind of processor shows in the system's files, whatever program asks."""

    machines: tuple[str, ...]
    modalias: str
    cpuinfo: re.Pattern[str]


_FAMILIES = (
    _Family(("x86", "i"), "type:x86", re.compile(r"^flags\s*:.*\bfpu\b", re.MULTILINE)),
    _Family(("aarch64", "arm"), "type:a", re.compile(r"^CPU implementer\s*:", re.MULTILINE)),
)
_CPU_ZONE = re.compile(r"cpu|soc|x86_pkg_temp|coretemp", re.IGNORECASE)
_ZONES = "sys/class/thermal"
_CPUS = "sys/devices/system/cpu"
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
        self._cpus = root / _CPUS
        self._cpufreqs: dict[int | None, Path | None] = {}
        self._zone = self._find_zone()
        self._firmware = next(
            iter(sorted((root / "sys/devices/platform").glob("soc*/*firmware/get_throttled"))), None
        )
        self._vcgencmd = None if self._firmware else shutil.which("vcgencmd")

    def state(self, core: int | None = None) -> SystemState:
        """The state at this instant, of the core that the work is pinned to if it is."""
        cpufreq = self._cpufreq(core)
        clock_khz = _number(cpufreq / "scaling_cur_freq") if cpufreq else None
        temperature = _number(self._zone / "temp") if self._zone else None
        return SystemState(
            clock_mhz=None if clock_khz is None else clock_khz / 1e3,
            governor=_text(cpufreq / "scaling_governor") if cpufreq else None,
            temperature_c=None if temperature is None else temperature / 1e3,
            throttled=self._throttled(),
        )

    def processor_zones(self) -> list[str]:
        """Folders of the thermal zones that are the processor's."""
        zones = [f"{_ZONES}/{name}" for name in self.names(_ZONES) if name.startswith("thermal_z")]
        return [zone for zone in zones if _CPU_ZONE.search(self.text(f"{zone}/type") or "")]

    def emulated(self) -> bool:
        """Whether another processor plays the part of this one, or `METANAS_EMULATED` says so."""
        if os.environ.get("METANAS_EMULATED", "0") not in ("", "0"):
            return True
        kernel = _text(self._cpus / "modalias") or ""
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
        board = _text(self._root / "proc/device-tree/model")
        names = (board, name[1] if name else None)
        return ", ".join(text.strip("\0 ") for text in names if text)

    def text(self, path: str) -> str | None:
        """What a file says; the path is below the root."""
        return _text(self._root / path)

    def number(self, path: str) -> float | None:
        """The number that a file holds."""
        return _number(self._root / path)

    def names(self, folder: str) -> list[str]:
        """Names of what is in a folder, sorted; none where there is no such folder."""
        try:
            return sorted(os.listdir(self._root / folder))  # noqa: PTH208 - names, not paths
        except OSError:
            return []

    def by_core(self, file: str) -> dict[int, str]:
        """What a file of each core says, such as `cpufreq/scaling_governor`, where there is one."""
        cores = (_CORE.fullmatch(name) for name in self.names(_CPUS))
        numbers = sorted(int(core[1]) for core in cores if core)
        texts = {number: self.text(f"{_CPUS}/cpu{number}/{file}") for number in numbers}
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
        return _text(self._root / "proc/cpuinfo") or ""

    def _cpufreq(self, core: int | None) -> Path | None:
        """Where the clock is read; looked for once, as it is read before and after every row."""
        if core not in self._cpufreqs:
            self._cpufreqs[core] = self._find_cpufreq(core)
        return self._cpufreqs[core]

    def _find_cpufreq(self, core: int | None) -> Path | None:
        """An unpinned process has a clock only where all cores share one."""
        if core is not None:
            found = [self._cpus / f"cpu{core}/cpufreq"]
        else:
            found = sorted(self._cpus.glob("cpufreq/policy*"))
        return found[0] if len(found) == 1 and found[0].is_dir() else None

    def _find_zone(self) -> Path | None:
        zones = self.processor_zones()
        return self._root / zones[0] if zones else None

    def _throttled(self) -> int | None:
        if self._firmware:
            return _hexadecimal(_text(self._firmware))
        if self._vcgencmd is None:
            return None
        try:
            answer = subprocess.run(
                [self._vcgencmd, "get_throttled"],
                capture_output=True,
                text=True,
                timeout=5,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return _hexadecimal(answer.stdout.partition("=")[2])

    def _meminfo(self, field: str) -> int | None:
        meminfo = _text(self._root / "proc/meminfo") or ""
        match = re.search(rf"^{field}:\s*(\d{{1,15}}) kB$", meminfo, re.MULTILINE)
        return int(match[1]) * 1024 if match else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _number(path: Path) -> float | None:
    try:
        number = float(_text(path) or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _hexadecimal(text: str | None) -> int | None:
    try:
        return int(text or "", 16)
    except ValueError:
        return None
