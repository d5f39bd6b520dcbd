"""Sensors: clock, temperature and throttling at an instant; cheap, as every row reads them twice.

What does not change is looked for once. No process is started for a row: the firmware's program,
which some boards have instead of a file, is asked once a second.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from metanas_agent.kernel_files import hexadecimal, names_in, read_number, read_text
from metanas_agent.measurement import SystemState

CPUS = "sys/devices/system/cpu"

_CPU_ZONE = re.compile(r"cpu|soc|x86_pkg_temp|coretemp", re.IGNORECASE)
_ZONES = "sys/class/thermal"
_FIRMWARE_S = 1.0


class Sensors:
    """Reads the system's files.

    Args:
        root: where `sys` is found.
        clock_s: by which the firmware's program is asked again.
    """

    def __init__(self, root: Path, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._cpus = root / CPUS
        self._clock_s = clock_s
        self._zone = next(iter(processor_zones(root)), None)
        self._firmware = next(
            iter(sorted((root / "sys/devices/platform").glob("soc*/*firmware/get_throttled"))), None
        )
        self._vcgencmd = None if self._firmware else shutil.which("vcgencmd")
        self._heard: tuple[float, int | None] | None = None
        self._cpufreq = cache(self._find_cpufreq)
        self._full_khz = cache(self._find_full_khz)
        self._counters = cache(self._find_counters)

    def state(self, core: int | None) -> SystemState:
        """The state at this instant, of the core that the work is pinned to if it is."""
        cpufreq = self._cpufreq(core)
        temperature = read_number(self._root / self._zone / "temp") if self._zone else None
        counts = [count for path in self._counters(core) if (count := read_number(path))]
        return SystemState(
            clock_mhz=_mhz(read_number(cpufreq / "scaling_cur_freq")) if cpufreq else None,
            clock_limit_mhz=_mhz(read_number(cpufreq / "scaling_max_freq")) if cpufreq else None,
            clock_full_mhz=_mhz(self._full_khz(cpufreq)) if cpufreq else None,
            governor=(read_text(cpufreq / "scaling_governor") or None) if cpufreq else None,
            temperature_c=None if temperature is None else temperature / 1e3,
            throttled=self._throttled(),
            throttle_count=int(sum(counts)),
        )

    def _find_cpufreq(self, core: int | None) -> Path | None:
        """An unpinned process has a clock only where all cores share one."""
        if core is not None:
            found = [self._cpus / f"cpu{core}/cpufreq"]
        else:
            found = sorted(self._cpus.glob("cpufreq/policy*"))
        return found[0] if len(found) == 1 and found[0].is_dir() else None

    def _find_full_khz(self, cpufreq: Path) -> float | None:
        """Highest clock that lasts; some turbos are told as the highest, and do not last."""
        lasting = read_number(cpufreq / "base_frequency")
        turbo = read_number(self._cpus / "cpufreq/boost") == 1 or any(
            (self._cpus / driver).is_dir() for driver in ("intel_pstate", "amd_pstate")
        )
        return lasting or (None if turbo else read_number(cpufreq / "cpuinfo_max_freq"))

    def _find_counters(self, core: int | None) -> list[Path]:
        """Counters of an x86 processor; the package's are the same at each of its cores."""
        folder = self._cpus / f"cpu{core or 0}/thermal_throttle"
        names = ["package_throttle_count", *(["core_throttle_count"] if core is not None else [])]
        return [folder / name for name in names if (folder / name).is_file()]

    def _throttled(self) -> int | None:
        if self._firmware:
            return hexadecimal(read_text(self._firmware))
        if self._vcgencmd is None:
            return None
        now = self._clock_s()
        if self._heard is None or now - self._heard[0] >= _FIRMWARE_S:
            self._heard = (now, _ask_firmware(self._vcgencmd))
        return self._heard[1]


def processor_zones(root: Path) -> list[str]:
    """Folders of the thermal zones that are the processor's, below the root."""
    names = [name for name in names_in(root / _ZONES) if name.startswith("thermal_z")]
    zones = [f"{_ZONES}/{name}" for name in names]
    return [zone for zone in zones if _CPU_ZONE.search(read_text(root / zone / "type") or "")]


def _ask_firmware(vcgencmd: str) -> int | None:
    try:
        answer = subprocess.run(
            [vcgencmd, "get_throttled"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return hexadecimal(answer.stdout.partition("=")[2])


def _mhz(khz: float | None) -> float | None:
    return None if khz is None else khz / 1e3
