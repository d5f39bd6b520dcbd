"""Progressive shrinking: which network of the super-network each outer step trains."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from metanas.spaces import Architecture, SearchSpace

A = TypeVar("A", bound=Architecture)

_STREAM = 0x5A  # keeps these draws apart from other uses of the seed


@dataclass(frozen=True, slots=True, kw_only=True)
class ShrinkingSettings:
    """The largest network's probability, H-Meta-NAS eq. (4).

    Args:
        initial: p_i, until `start_epoch`.
        final: p_e, which it decays to.
        start_epoch: e_s.
        end_epoch: e_m.
        decay: alpha.
    """

    initial: float = 1.0
    final: float = 0.05
    start_epoch: int = 30
    end_epoch: int = 100
    decay: float = 5.0

    def largest_probability(self, epoch: int) -> float:
        """p = p_e + (p_i - p_e) exp(-alpha (e - e_s) / (e_m - e_s)), and p_i before e_s."""
        if epoch < self.start_epoch:
            return self.initial
        progress = (epoch - self.start_epoch) / max(self.end_epoch - self.start_epoch, 1)
        return self.final + (self.initial - self.final) * math.exp(-self.decay * progress)


@dataclass(frozen=True)
class ProgressiveShrinking(Generic[A]):
    """Choose the largest network with eq. (4)'s probability, else any.

    Where the others are no parts of the largest one, training it helps them little, and any is
    chosen from the beginning.

    Args:
        space: to sample from.
        shrinking: the probability's schedule.
        seed: the choice is a function of it and the outer step alone.
    """

    space: SearchSpace[A]
    shrinking: ShrinkingSettings
    seed: int

    @property
    def settings(self) -> dict[str, Any]:
        """The schedule's values."""
        return {f"shrinking_{name}": value for name, value in asdict(self.shrinking).items()}

    def __call__(self, step: int, epoch: int) -> A:
        """The architecture of an outer step."""
        rng = np.random.default_rng([self.seed, _STREAM, step])
        largest = rng.random() < self.shrinking.largest_probability(epoch)
        if largest and self.space.nested:
            return self.space.largest()
        return self.space.from_genes(self.space.sample(1, rng)[0])
