"""The adaptive timer: warm up, repeat until the median is known well enough, say if it is not.

The median and its 95% interval from order statistics (sign test) need no assumption about how the
noise is distributed, and one interrupted sample does not move them.
"""

from __future__ import annotations

import gc
import math
import time
from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cache
from statistics import median
from typing import Any, Self

from metanas_agent.errors import InvalidSettingsError
from metanas_agent.sampler import Sampler

LAST_CORE = -1

_WARM_UP_SHARE = 0.25  # of the budget, at most
_STABLE = 0.05  # warm when a sample is no more than this share faster than the best before it
_DRIFT_INTERVALS = 3  # halves further apart than this many intervals are a drift, not noise
_LARGEST_BATCH = 65_536
_MOST_CORES = 65_536
_LONGEST_BUDGET_MS = 3_600_000.0


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
            first); None leaves it to the system.
        seed: of the random inputs and weights.
        batch: images in one call; its time is that of them all.

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
        }
        for name, good in in_range.items():
            if not good:
                raise InvalidSettingsError(
                    f"timer settings: {name} is {getattr(self, name)!r}",
                    hint="see TimerSettings for what it means",
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain values; a batch of one is left out, as protocol 1 knows no batches."""
        values = asdict(self)
        if self.batch == 1:
            del values["batch"]
        return values

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            InvalidSettingsError: a field is missing, unknown or out of range.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or {"batch", *values} != names:
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
        samples: list[float] = []
        ordered: list[float] = []
        doubt = "no sample"
        while doubt and (len(samples) < settings.min_samples or spent_ms() < settings.budget_ms):
            sample = sample_ms(repeats)
            samples.append(sample)
            insort(ordered, sample)
            if len(samples) >= settings.min_samples:
                doubt = _doubt(samples, ordered, settings.interval)
    low, high = median_interval(ordered)
    return Timing(
        median_ms=_quantile(ordered, 0.5),
        low_ms=low,
        high_ms=high,
        p10_ms=_quantile(ordered, 0.1),
        p90_ms=_quantile(ordered, 0.9),
        samples=len(samples),
        repeats=repeats,
        verdict="noisy" if doubt else "trusted",
        reason=doubt,
    )


def median_interval(ordered: Sequence[float]) -> tuple[float, float]:
    """The 95% confidence interval of the median of sorted samples.

    Of fewer than 6 samples it does not exist, and their whole range is given.
    """
    rank = max(_interval_rank(len(ordered)), 1)
    return ordered[rank - 1], ordered[-rank]


@cache
def _interval_rank(count: int) -> int:
    """Largest r for which the r-th smallest and r-th largest enclose the median at 95%; or 0.

    The number of samples below the median is binomial(count, 1/2); r - 1 of them or fewer must
    have a probability of at most 2.5%.
    """
    rank, below = 0, 0
    while True:
        below += math.comb(count, rank)
        if below * 40 > 2**count:
            return rank
        rank += 1


def _warm_up(
    sample_ms: Callable[[int], float], settings: TimerSettings, spent_ms: Callable[[], float]
) -> int:
    """Call until no longer getting faster; return how many calls make one sample."""
    repeats, best = 1, sample_ms(1)
    while spent_ms() < settings.budget_ms * _WARM_UP_SHARE:
        repeats = _repeats(best, settings.sample_ms)
        newest = sample_ms(repeats)
        if newest > best * (1 - _STABLE):
            break
        best = newest
    return _repeats(best, settings.sample_ms)


def _repeats(call_ms: float, sample_ms: float) -> int:
    return max(1, math.ceil(sample_ms / max(call_ms, 1e-5)))


def _doubt(samples: list[float], ordered: list[float], interval: float) -> str:
    """Why the median is not known well enough yet; empty where it is."""
    count = len(samples)
    if not _interval_rank(count):
        return f"{count} samples have no 95% interval of the median"
    middle = _quantile(ordered, 0.5)
    low, high = median_interval(ordered)
    half = (high - low) / 2
    if not middle:
        return f"the clock did not move in {count} samples"
    if half > interval * middle:
        return f"interval of ±{half / middle:.1%} after {count} samples"
    first, second = median(samples[: count // 2]), median(samples[-(count // 2) :])
    if abs(second - first) > _DRIFT_INTERVALS * interval * middle:
        return f"drift of {second / first - 1:+.1%} over {count} samples"
    return ""


def _quantile(ordered: list[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = math.ceil(place)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


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
