"""How to meta-train: the schedules and switches of MAML++ (Antoniou et al. 2019)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from metanas.errors import InvalidSettingsError

LARGEST_RATE = 1e36
"""Adam makes ten times as much of it in its first step, and that must fit in a float32."""

_LEAST_SHARE = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class OuterSettings:
    """How to meta-train; the defaults are MAML++, `ALGORITHMS` has what others differ by.

    Args:
        epochs: number of epochs.
        iterations: outer steps in an epoch.
        tasks: tasks in an outer step, over all workers.
        inner_steps: gradient steps on a support set.
        inner_rate: inner learning rates at the start.
        rate: outer learning rate at the start (Adam).
        final_rate: at the end of its cosine.
        first_order_share: share of the epochs that are first-order, before the second derivatives
            are switched on (derivative-order annealing); with 1 they never are.
        multi_step_share: share of the epochs over which the multi-step loss is annealed away.
        seed: of weights, tasks and sampled architectures.
        learned_rates: learn the inner rates, one a tensor and step; otherwise they stay.
        per_step_norms: batch-norm has a scale and shift for each inner step; otherwise for all.
        adapted_norms: the inner loop changes batch-norm's scales and shifts as it does weights.
        running_statistics: keep running statistics of batch-norm over query images for each inner
            step; not for a super-network, whose networks each have statistics of their own.
        outer_update: `gradient` follows the query loss's; `reptile` takes the initial minus the
            adapted weights, of the support set alone.

    Raises:
        InvalidSettingsError: a value is out of range, or two of them exclude each other.
    """

    epochs: int = 100
    iterations: int = 500
    tasks: int = 8
    inner_steps: int = 5
    inner_rate: float = 0.1
    rate: float = 1e-3
    final_rate: float = 1e-5
    first_order_share: float = 0.3
    multi_step_share: float = 0.1
    seed: int = 0
    learned_rates: bool = True
    per_step_norms: bool = True
    adapted_norms: bool = False
    running_statistics: bool = False
    outer_update: Literal["gradient", "reptile"] = "gradient"

    def __post_init__(self) -> None:
        for name in ("epochs", "iterations", "tasks", "inner_steps"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("inner_rate", "rate"):
            allowed = f"above 0, and at most {LARGEST_RATE:g}"
            self._require(name, 0 < getattr(self, name) <= LARGEST_RATE, allowed)
        final_fits = 0 <= self.final_rate <= LARGEST_RATE
        self._require("final_rate", final_fits, f"from 0 to {LARGEST_RATE:g}")
        self._require("seed", 0 <= self.seed < 2**63, "from 0 to 2**63 - 1")  # as PyTorch takes it
        for name in ("first_order_share", "multi_step_share"):
            self._require(name, 0 <= getattr(self, name) <= 1, "from 0 to 1")
        self._require(
            "outer_update", self.outer_update in ("gradient", "reptile"), "gradient or reptile"
        )
        if self.adapted_norms:
            self._require("per_step_norms", not self.per_step_norms, "False with adapted_norms")
        if self.outer_update == "reptile":
            self._check_reptile()

    def _check_reptile(self) -> None:
        """Refuse what Reptile cannot do: it has no query loss to differentiate."""
        self._require("learned_rates", not self.learned_rates, "False with Reptile")
        self._require("adapted_norms", self.adapted_norms, "True with Reptile")
        self._require("first_order_share", self.first_order_share == 1, "1 with Reptile")
        self._require("multi_step_share", self.multi_step_share == 0, "0 with Reptile")

    def _require(self, name: str, fulfilled: bool, allowed: str) -> None:
        if not fulfilled:
            raise InvalidSettingsError(
                f"{name} is {getattr(self, name)!r}", hint=f"it must be {allowed}"
            )

    @property
    def steps(self) -> int:
        """Outer steps in all."""
        return self.epochs * self.iterations

    def second_order(self, epoch: int) -> bool:
        """Whether the outer gradient flows through the inner steps in this epoch."""
        return epoch >= self.first_order_share * self.epochs

    def step_weights(self, epoch: int) -> list[float]:
        """Weights of the query loss behind each inner step; they add up to 1."""
        length = self.multi_step_share * self.epochs
        if epoch >= length:
            return [0.0] * (self.inner_steps - 1) + [1.0]
        even = 1 / self.inner_steps
        early = max(even * (1 - epoch / length), _LEAST_SHARE * even)
        return [early] * (self.inner_steps - 1) + [1 - early * (self.inner_steps - 1)]

    def rate_at(self, step: int) -> float:
        """Outer learning rate of an outer step, a cosine from `rate` to `final_rate`."""
        progress = step / max(self.steps - 1, 1)
        wave = (1 + math.cos(math.pi * progress)) / 2
        return self.final_rate + (self.rate - self.final_rate) * wave
