"""A timing with its evidence: what the system said before and after, and by what it was run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Protocol

from metanas_agent.measurement import Measurement, SystemState
from metanas_agent.sampler import Sampler
from metanas_agent.system import THROTTLED_NOW
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
    """

    settings: TimerSettings
    runtime: VersionedRuntime
    system: StateReader
    sentinel: Watch
    source: str = "measured"

    def measure(self, sampler: Sampler, *, key: str) -> Measurement:
        """Time one call; once more if the machine was disturbed, and say so if it still is."""
        measurement, disturbed = self._measure_once(sampler, key)
        return self._measure_once(sampler, key)[0] if disturbed else measurement

    def _measure_once(self, sampler: Sampler, key: str) -> tuple[Measurement, bool]:
        before, complaint = self.system.state(self.settings.core), self.sentinel.complaint()
        timing = time_call(sampler, self.settings)
        complaint = self.sentinel.complaint() or complaint
        after = self.system.state(self.settings.core)
        bits = ((before.throttled or 0) | (after.throttled or 0)) & THROTTLED_NOW
        if bits:
            timing = replace(timing, verdict="throttled", reason=f"throttle bits {bits:#x}")
        elif complaint:
            timing = replace(timing, verdict="noisy", reason=complaint)
        measurement = Measurement(
            key=key,
            source=self.source,
            runtime=self.runtime.name,
            runtime_version=self.runtime.version,
            clock_mhz_before=before.clock_mhz,
            clock_mhz_after=after.clock_mhz,
            temperature_c=after.temperature_c,
            throttled=after.throttled,
            **asdict(timing),
        )
        return measurement, bool(bits or complaint)
