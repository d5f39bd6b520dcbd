"""Additivity: how well predictions of whole networks agree with measurements of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]
"""(networks,), milliseconds."""


@dataclass(frozen=True, slots=True)
class Additivity:
    """How well predictions agree with measurements of the same networks.

    Args:
        bias: mean of predicted / measured - 1.
        mean_error: mean of its absolute value.
        worst_error: the largest absolute value.
        within_5: share of the networks with at most 5%.
        within_10: with at most 10%.
        tau: Kendall's rank correlation (tau-a; 1 where the order is the same).
    """

    bias: float
    mean_error: float
    worst_error: float
    within_5: float
    within_10: float
    tau: float


def additivity(predicted_ms: Times, measured_ms: Times) -> Additivity:
    """Compare predictions with measurements; both positive, of the same two networks or more."""
    errors = predicted_ms / measured_ms - 1
    sizes = np.abs(errors)
    return Additivity(
        bias=float(errors.mean()),
        mean_error=float(sizes.mean()),
        worst_error=float(sizes.max()),
        within_5=float((sizes <= 0.05).mean()),
        within_10=float((sizes <= 0.10).mean()),
        tau=kendall_tau(predicted_ms, measured_ms),
    )


def kendall_tau(first: Times, second: Times) -> float:
    """Pairs in the same order less pairs in the other, as a share of all pairs (tau-a)."""
    pairs = np.triu_indices(len(first), 1)
    agreement = np.sign(np.subtract.outer(first, first)) * np.sign(
        np.subtract.outer(second, second)
    )
    return float(agreement[pairs].mean())
