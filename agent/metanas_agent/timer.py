"""Placeholder until the agent's room is built: settings only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerSettings:
    """How long and how surely to time.

    Args:
        interval: stop once half the 95% interval of the median is below this share of it.
        budget_ms: most time for one layer's samples, warm-up included.
        min_samples: fewest samples of a row.
        sample_ms: repeat the call inside one sample until it lasts about this long.
        core: processor to pin to; None leaves that to the system.
        seed: of the random inputs and weights.
    """

    interval: float = 0.01
    budget_ms: float = 200.0
    min_samples: int = 11
    sample_ms: float = 0.5
    core: int | None = None
    seed: int = 0
