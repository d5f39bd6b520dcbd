"""Calibration: how far a table's sums are off on whole networks, and a straight line that mends it.

    latency = scale × (call + sum over the layers of (layer - call)) + offset_ms

Two numbers, fitted so that relative errors are small, since a search compares small networks with
small ones. What is reported of the fit is cross-validated: each network's error is that of a line
fitted to the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metanas.errors import CalibrationError
from metanas.profiling.table import Calibration

FEWEST_NETWORKS = 5
"""Fewer say nothing of a line and its errors."""

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


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """What whole networks say of a table.

    Args:
        calibration: the line.
        before: of the table's plain sums.
        after: of the calibrated ones, each by a line fitted without that network; the same as
            before where no line helps, and the calibration is 1 and 0.
        throttled: networks that are left out, since the device was throttled whenever they were
            timed.
    """

    calibration: Calibration
    before: Additivity
    after: Additivity
    throttled: int = 0


def calibrate(
    predicted_ms: Times, measured_ms: Times, *, cheapest_ms: float = math.inf
) -> CalibrationReport:
    """Fit the line.

    Args:
        predicted_ms: the table's sums.
        measured_ms: the same networks, measured at the pace of the table.
        cheapest_ms: the least sum that the table gives any network; a line by which it, or one
            of those measured, takes no time is left out.

    Raises:
        CalibrationError: too few networks, or times that are not positive numbers.
    """
    count = len(predicted_ms)
    if count < FEWEST_NETWORKS or predicted_ms.shape != measured_ms.shape:
        raise CalibrationError(
            f"{count} predictions and {len(measured_ms)} measurements",
            hint=f"give as many of one as of the other, at least {FEWEST_NETWORKS}",
        )
    times = np.concatenate([predicted_ms, measured_ms])
    if not (np.isfinite(times).all() and (times > 0).all()):
        raise CalibrationError(
            "a latency of a whole network is not a positive number",
            hint="profile the device again, and see what doctor says of it",
        )
    others = ~np.eye(count, dtype=bool)
    left_out = np.array(
        [
            np.dot(_line(predicted_ms[rest], measured_ms[rest]), (predicted_ms[at], 1.0))
            for at, rest in enumerate(others)
        ]
    )
    before, after = additivity(predicted_ms, measured_ms), additivity(left_out, measured_ms)
    scale, offset_ms = _line(predicted_ms, measured_ms)
    least_ms = min(cheapest_ms, float(predicted_ms.min()))
    sound = scale > 0 and scale * least_ms + offset_ms > 0
    if not sound or after.mean_error >= before.mean_error:  # it would do harm, or does not help
        (scale, offset_ms), after = (1.0, 0.0), before
    line = Calibration(
        scale=float(f"{scale:.6g}"),
        offset_ms=float(f"{offset_ms:.6g}"),
        networks=count,
        mean_error=float(f"{after.mean_error:.4g}"),
        worst_error=float(f"{after.worst_error:.4g}"),
    )
    return CalibrationReport(line, before, after)


def additivity(predicted_ms: Times, measured_ms: Times) -> Additivity:
    """Compare predictions with measurements; both positive, of the same networks."""
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


def _line(predicted_ms: Times, measured_ms: Times) -> Times:
    """Scale and offset with the least squares of relative errors."""
    scaled = np.column_stack([predicted_ms, np.ones_like(predicted_ms)]) / measured_ms[:, None]
    solution = np.linalg.lstsq(scaled, np.ones_like(measured_ms), rcond=None)[0]
    return np.asarray(solution, np.float64)
