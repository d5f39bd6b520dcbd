"""The schedules of MAML++ (Antoniou et al. 2019): what changes as meta-training goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass

_LEAST_SHARE = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class OuterSettings:
    """How to meta-train.

    Args:
        epochs: number of epochs.
        iterations: outer steps in an epoch.
        tasks: tasks in an outer step, over all workers.
        inner_steps: gradient steps on a support set.
        inner_rate: inner learning rates at the start; they are learned.
        rate: outer learning rate at the start (Adam).
        final_rate: at the end of its cosine.
        first_order_share: share of the epochs that are first-order, before the second derivatives
            are switched on (derivative-order annealing).
        multi_step_share: share of the epochs over which the multi-step loss is annealed away.
        seed: of weights, tasks and sampled architectures.
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
