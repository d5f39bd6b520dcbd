"""Energy of one call, where the machine counts energy or has a power sensor.

What is counted is what the whole rail takes while calls are made without a pause: of RAPL the
processor's package, idle power and whatever else runs on it included, memory not. Nothing is
taken off, so the figure bounds from above what the call itself costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from metanas_agent.kernel_files import names_in, read_number, read_text
from metanas_agent.sampler import Sampler

_POWERCAP = "sys/class/powercap"
_HWMON = "sys/class/hwmon"
_POWER_SENSORS = ("ina219", "ina220", "ina226", "ina230", "ina231", "ina238", "ina260")
_UPDATES = 10  # of a counter in the time that its rise is read over
_RAPL_UPDATE_MS = 1.0
_SENSOR_UPDATE_MS = 2.0
_LONGEST_WAIT_UPDATES = 100


class EnergyCounter(Protocol):
    """Counts up the energy that was used since some instant; `update_ms` is between its steps."""

    update_ms: float

    def read_mj(self) -> float | None:
        """The count; None where it cannot be read any more."""


class RaplCounter:
    """The counters of x86 packages (RAPL), which begin again at 0 where they end.

    Args:
        folders: of the packages to add up.

    Raises:
        OSError: they cannot be read.
    """

    update_ms = _RAPL_UPDATE_MS

    def __init__(self, folders: list[Path]) -> None:
        self._packages = [_Package(folder) for folder in folders]

    def read_mj(self) -> float | None:
        """See `EnergyCounter`."""
        counts = [package.read_uj() for package in self._packages]
        return None if None in counts else sum(filter(None, counts)) / 1e3


class _Package:
    def __init__(self, folder: Path) -> None:
        self._path = folder / "energy_uj"
        self._range_uj = read_number(folder / "max_energy_range_uj") or 0.0
        self._last_uj = float(self._path.read_text(encoding="ascii"))
        self._total_uj = 0.0

    def read_uj(self) -> float | None:
        now_uj = read_number(self._path)
        if now_uj is None:
            return None
        rise_uj = now_uj - self._last_uj
        if rise_uj < 0:
            rise_uj += self._range_uj
        self._total_uj += max(rise_uj, 0.0)
        self._last_uj = now_uj
        return self._total_uj


class PowerSensor:
    """A sensor of a board's supply, such as an INA219, added up over time.

    Args:
        path: of the file that holds the power in microwatts.
        update_ms: time between its values.
    """

    def __init__(
        self,
        path: Path,
        *,
        update_ms: float = _SENSOR_UPDATE_MS,
        clock_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.update_ms = update_ms
        self._path, self._clock_s = path, clock_s
        self._last_s, self._total_mj = clock_s(), 0.0

    def read_mj(self) -> float | None:
        """See `EnergyCounter`."""
        power_uw, now_s = read_number(self._path), self._clock_s()
        if power_uw is None:
            return None
        self._total_mj += power_uw / 1e3 * (now_s - self._last_s)
        self._last_s = now_s
        return self._total_mj


def find_counter(root: Path, core: int | None) -> EnergyCounter | None:
    """What counts the energy of a core; None where nothing does, or only root may read it.

    Args:
        root: where `sys` is found.
        core: whose package it shall be; None is all of them.
    """
    try:
        if packages := _packages(root, core):
            return RaplCounter(packages)
    except (OSError, ValueError):
        return None
    return next(_power_sensors(root), None)


def _packages(root: Path, core: int | None) -> list[Path]:
    zones = [root / _POWERCAP / name for name in names_in(root / _POWERCAP)]
    packages = {
        name: zone
        for zone in zones
        if (name := read_text(zone / "name") or "").startswith("package-")
    }
    at = read_number(root / f"sys/devices/system/cpu/cpu{core}/topology/physical_package_id")
    own = packages.get(f"package-{at:.0f}") if at is not None else None
    return [own] if own else list(packages.values())


def _power_sensors(root: Path) -> Iterator[PowerSensor]:
    for name in names_in(root / _HWMON):
        folder = root / _HWMON / name
        if read_text(folder / "name") in _POWER_SENSORS and read_number(folder / "power1_input"):
            update_ms = read_number(folder / "update_interval") or _SENSOR_UPDATE_MS
            yield PowerSensor(folder / "power1_input", update_ms=update_ms)


def energy_of_call(
    counter: EnergyCounter,
    sampler: Sampler,
    repeats: int,
    *,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
) -> float | None:
    """Energy of one call in millijoules, from one step of the counter to another.

    Calls are made from before the first step on, for some ten steps. None where the counter does
    not move, or fails.
    """
    watch = _Watch(counter, sampler, repeats, clock_ns)
    begin = watch.next_step()
    if begin is None:
        return None
    end: _Step | None = begin
    while end and end.at_ms - begin.at_ms < _UPDATES * counter.update_ms:
        end = watch.next_step()
    return (end.count_mj - begin.count_mj) / (end.calls - begin.calls) if end else None


class _Step(NamedTuple):
    at_ms: float
    count_mj: float
    calls: int


class _Watch:
    """Makes calls until a counter steps on."""

    def __init__(
        self, counter: EnergyCounter, sampler: Sampler, repeats: int, clock_ns: Callable[[], int]
    ) -> None:
        self._counter, self._sampler, self._repeats = counter, sampler, repeats
        self._clock_ns = clock_ns
        self._count_mj = counter.read_mj()
        self._calls = 0

    def next_step(self) -> _Step | None:
        start_ms = at_ms = self._clock_ns() / 1e6
        while at_ms - start_ms <= _LONGEST_WAIT_UPDATES * self._counter.update_ms:
            self._sampler(self._repeats)
            self._calls += self._repeats
            count_mj, at_ms = self._counter.read_mj(), self._clock_ns() / 1e6
            if count_mj is None or self._count_mj is None:
                return None
            if count_mj != self._count_mj:
                self._count_mj = count_mj
                return _Step(at_ms, count_mj, self._calls)
        return None
