"""The adaptive timer: warm up, repeat until the median is known well enough, say if it is not."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from metanas_agent.errors import InvalidSettingsError
from metanas_agent.sampler import Sampler
from metanas_agent.samples import Samples

LAST_CORE = -1
CACHES = ("warm", "cold")

_WARM_UP_SHARE = 0.25  # of the budget, at most
_STABLE = 0.05  # a sample is calm when it is at most this share faster than the best before it
_CALM_SAMPLES = 2  # in a row, and the machine is warm
_LOOKS = 8  # look at the samples when there are an 8th more: each look is a chance to err
_LARGEST_BATCH = 65_536
_MOST_CORES = 65_536
_LONGEST_BUDGET_MS = 3_600_000.0
_LEFT_OUT = {"batch": 1, "cache": "warm", "energy": False, "threads": 1}  # at these: protocol 1's


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerSettings:
    """How long and how surely to time.

    Args:
        interval: stop once half the 95% interval of the median is below this share of it.
        budget_ms: most time for one layer's samples, warm-up included; `min_samples` are taken
            even where that lasts longer.
        min_samples: fewest samples of a row. Below 6 there is no 95% interval of a median, so
            a row of fewer is never trusted.
        sample_ms: repeat the call inside one sample until it lasts about this long; the shorter,
            the fewer samples are interrupted on a shared machine.
        core: processor to pin to, -1 for the last one that may be used (interrupts favour the
            first); None leaves it to the system. Several threads are pinned to as many processors,
            this one and those before it.
        seed: of the random inputs and weights.
        batch: images in one call; its time is that of them all.
        cache: one of `CACHES`; "cold" empties the processor's caches before each call.
        threads: how many of the runtime's threads share the work.
        energy: whether to measure a call's energy too, where the device can tell; each row then
            takes some 15 ms more, as the counters move in steps of a millisecond.

    Raises:
        InvalidSettingsError: a value is out of range.
    """

    interval: float = 0.01
    budget_ms: float = 200.0
    min_samples: int = 11
    sample_ms: float = 0.1
    core: int | None = LAST_CORE
    seed: int = 0
    batch: int = 1
    cache: str = "warm"
    threads: int = 1
    energy: bool = False

    def __post_init__(self) -> None:
        in_range = {
            "interval": _is_number(self.interval) and 0 < self.interval < 1,
            "budget_ms": _is_number(self.budget_ms) and 0 < self.budget_ms <= _LONGEST_BUDGET_MS,
            "min_samples": type(self.min_samples) is int and 1 <= self.min_samples <= 100_000,
            "sample_ms": _is_number(self.sample_ms) and 0 < self.sample_ms <= 60_000,
            "core": self.core is None
            or (type(self.core) is int and LAST_CORE <= self.core < _MOST_CORES),
            "seed": type(self.seed) is int and 0 <= self.seed < 2**63,
            "batch": type(self.batch) is int and 1 <= self.batch <= _LARGEST_BATCH,
            "cache": self.cache in CACHES,
            "threads": type(self.threads) is int and 1 <= self.threads <= _MOST_CORES,
            "energy": type(self.energy) is bool,
        }
        for name, good in in_range.items():
            if not good:
                raise InvalidSettingsError(
                    f"timer settings: {name} is {getattr(self, name)!r}",
                    hint="see TimerSettings for what it means",
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain values; those that protocol 1 does not know are left out where usual."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in _LEFT_OUT or value != _LEFT_OUT[name]
        }

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            InvalidSettingsError: a field is missing, unknown or out of range.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or {*_LEFT_OUT, *values} != names:
            raise InvalidSettingsError(
                "timer settings: unknown or missing fields", hint=f"give {', '.join(sorted(names))}"
            )
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What timing one call gave; the fields are those of `Measurement`."""

    median_ms: float
    low_ms: float
    high_ms: float
    p10_ms: float
    p90_ms: float
    samples: int
    repeats: int
    verdict: str
    reason: str


def time_call(
    sampler: Sampler,
    settings: TimerSettings,
    *,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
) -> Timing:
    """Sample until the median of one call is known to `settings.interval`, or the budget is spent.

    Args:
        sampler: runs what is timed.
        settings: how long and how surely.
        clock_ns: the clock by which the budget is spent.
    """
    start = clock_ns()

    def spent_ms() -> float:
        return (clock_ns() - start) / 1e6

    def sample_ms(repeats: int) -> float:
        return sampler(repeats) / repeats

    with _no_garbage_collection():
        repeats = _warm_up(sample_ms, settings, spent_ms)
        samples = Samples(settings.interval)
        doubt, next_look = "no sample", settings.min_samples
        while doubt:
            samples.add(sample_ms(repeats))
            ended = spent_ms() >= settings.budget_ms
            if len(samples) < (settings.min_samples if ended else next_look):
                continue
            doubt = samples.doubt()
            if ended:
                break
            if doubt and samples.drifts() and samples.drift() < 0:  # it was not warm yet
                samples.forget_first_half()
            next_look = max(len(samples) + len(samples) // _LOOKS + 1, settings.min_samples)
    low, high = samples.interval()
    return Timing(
        median_ms=samples.quantile(0.5),
        low_ms=low,
        high_ms=high,
        p10_ms=samples.quantile(0.1),
        p90_ms=samples.quantile(0.9),
        samples=len(samples),
        repeats=repeats,
        verdict="noisy" if doubt else "trusted",
        reason=doubt,
    )


def _warm_up(
    sample_ms: Callable[[int], float], settings: TimerSettings, spent_ms: Callable[[], float]
) -> int:
    """Call until no longer getting faster; return how many calls make one sample."""
    wanted_ms = settings.sample_ms if settings.cache == "warm" else 0.0
    best, calm = sample_ms(1), 0
    while calm < _CALM_SAMPLES and spent_ms() < settings.budget_ms * _WARM_UP_SHARE:
        newest = sample_ms(_repeats(best, wanted_ms))
        calm = calm + 1 if newest > best * (1 - _STABLE) else 0
        best = min(best, newest)
    return _repeats(best, wanted_ms)


def _repeats(call_ms: float, sample_ms: float) -> int:
    return max(1, math.ceil(sample_ms / max(call_ms, 1e-5)))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
