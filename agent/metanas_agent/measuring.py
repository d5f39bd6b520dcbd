"""A timing with its evidence: what the system said before and after, and by what it was run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from metanas_agent.cold_cache import cold
from metanas_agent.energy import EnergyCounter, energy_of_call
from metanas_agent.measurement import Measurement, SystemState
from metanas_agent.sampler import Sampler
from metanas_agent.throttling import slowed
from metanas_agent.timer import TimerSettings, time_call


class StateReader(Protocol):
    """The part of `System` that a measurement needs."""

    def state(self, core: int | None = None) -> SystemState:
        """The state at this instant."""


class Watch(Protocol):
    """The part of `Sentinel` that a measurement needs."""

    def complaint(self) -> str:
        """Why what is measured now cannot be compared with the rest."""


class VersionedRuntime(Protocol):
    """The part of `Runtime` that a measurement needs."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Gauge:
    """Measures samplers of one runtime.

    Args:
        settings: how long and how surely.
        runtime: what runs the calls.
        system: tells clock, temperature and throttling.
        sentinel: tells whether the machine is as fast as it was.
        source: what the rows are, one of `SOURCES`.
        energy: counts the machine's energy, where something does.
        fill_caches: throws what is timed out of the caches, if each call shall find them cold.
    """

    settings: TimerSettings
    runtime: VersionedRuntime
    system: StateReader
    sentinel: Watch
    source: str = "measured"
    energy: EnergyCounter | None = None
    fill_caches: Callable[[], object] | None = None

    def measure(self, sampler: Sampler, *, key: str) -> Measurement:
        """Time one call; once more if the machine was disturbed, and say so if it still is."""
        timed = cold(sampler, self.fill_caches) if self.fill_caches else sampler
        measurement, disturbed = self._measure_once(timed, key)
        if disturbed:
            measurement, _ = self._measure_once(timed, key)
        if self.energy and not self.fill_caches and measurement.verdict != "throttled":
            energy_mj = energy_of_call(self.energy, sampler, measurement.repeats)
            return replace(measurement, energy_mj=energy_mj)
        return measurement

    def _measure_once(self, sampler: Sampler, key: str) -> tuple[Measurement, bool]:
        before, complaint = self.system.state(self.settings.core), self.sentinel.complaint()
        timing = time_call(sampler, self.settings)
        complaint = self.sentinel.complaint() or complaint
        after = self.system.state(self.settings.core)
        reason = slowed(before, after)
        if reason:
            timing = replace(timing, verdict="throttled", reason=reason)
        elif complaint:
            timing = replace(timing, verdict="noisy", reason=complaint)
        measurement = Measurement(
            key=key,
            source=self.source,
            runtime=self.runtime.name,
            runtime_version=self._version(),
            clock_mhz_before=before.clock_mhz,
            clock_mhz_after=after.clock_mhz,
            governor=after.governor,
            temperature_c_before=before.temperature_c,
            temperature_c_after=after.temperature_c,
            throttled_before=before.throttled,
            throttled_after=after.throttled,
            **asdict(timing),
        )
        return measurement, bool(reason or complaint)

    def _version(self) -> str:
        """Rows of cold and of warm caches are never merged."""
        version = self.runtime.version
        return f"{version} cold cache" if self.fill_caches else version
