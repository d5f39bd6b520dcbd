"""Calibration: how far a table's sums are off on whole networks, and a correction that mends it.

    latency = scale × (call + sum over the layers of (layer - call)) + offset_ms
              + ms_per_mb × parameters of all layers in MB

The last term is for networks whose parameters do not stay in the processor's caches from one call
to the next: a layer that is timed by itself finds its own there. It is 0 where a line is as good,
and where nothing helps, the correction is 1 and 0.

The numbers are fitted so that relative errors are small, since a search compares small networks
with small ones, and so that a few networks that were disturbed do not draw them away (Huber 1964:
least squares, but of errors above `USUAL_ERROR` the size counts and not the square). What is
reported of the fit is cross-validated: each network's error is that of a correction fitted to the
others, and by these errors it is chosen which terms there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metanas.errors import CalibrationError
from metanas.profiling.fidelity.additivity import Additivity, Times, additivity
from metanas.profiling.table import Calibration

FEWEST_NETWORKS = 5
"""Fewer say nothing of a line and its errors."""

USUAL_ERROR = 0.02
"""Above a relative error of this, a network is rather disturbed than informative."""

_BYTES_PER_MB = 1e6
_MOST_STEPS = 50


@dataclass(frozen=True, slots=True)
class Improvement:
    """What a correction does to the errors of some networks.

    Args:
        before: of the table's plain sums.
        after: of the corrected ones, each by numbers fitted without that network.
    """

    before: Additivity
    after: Additivity


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """What whole networks say of a table.

    Args:
        calibration: the correction.
        before: of the table's plain sums.
        after: of the calibrated ones, each by a correction fitted without that network; the same
            as before where none helps, and the calibration is 1 and 0.
        kinds: both, of each kind of which there are two networks or more.
        throttled: networks that are left out, since the device was throttled whenever they were
            timed.
    """

    calibration: Calibration
    before: Additivity
    after: Additivity
    kinds: dict[str, Improvement] = field(default_factory=dict)
    throttled: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """A correction, and what it makes of each network when it is fitted to the others."""

    scale: float
    offset_ms: float
    ms_per_mb: float
    left_out_ms: Times

    def is_sound(self, least_ms: float) -> bool:
        """Whether no network takes no time by it."""
        rises = self.scale > 0 and self.ms_per_mb >= 0
        return rises and self.scale * least_ms + self.offset_ms > 0


def calibrate(
    predicted_ms: Times,
    measured_ms: Times,
    *,
    size_bytes: NDArray[np.int64] | None = None,
    kinds: Sequence[str] = (),
    cheapest_ms: float = math.inf,
) -> CalibrationReport:
    """Fit the correction.

    Args:
        predicted_ms: the table's sums.
        measured_ms: the same networks, measured at the pace of the table.
        size_bytes: of their parameters; a line alone is fitted if not given.
        kinds: name of each network's kind, if they shall be reported by kind.
        cheapest_ms: the least sum that the table gives any network; a line by which it, or one
            of those measured, takes no time is left out.

    Raises:
        CalibrationError: too few networks, or times that are not positive numbers.
    """
    _check(predicted_ms, measured_ms)
    before = additivity(predicted_ms, measured_ms)
    least_ms = min(cheapest_ms, float(predicted_ms.min()))
    best, after = _Fit(1.0, 0.0, 0.0, predicted_ms), before
    for fit in _fits(predicted_ms, measured_ms, size_bytes):
        found = additivity(fit.left_out_ms, measured_ms)
        if fit.is_sound(least_ms) and found.mean_error < after.mean_error:
            best, after = fit, found
    of_kind = {kind: np.array(kinds) == kind for kind in dict.fromkeys(kinds)}
    return CalibrationReport(
        calibration=Calibration(
            scale=float(f"{best.scale:.6g}"),
            offset_ms=float(f"{best.offset_ms:.6g}"),
            ms_per_mb=float(f"{best.ms_per_mb:.6g}"),
            networks=len(predicted_ms),
            mean_error=float(f"{after.mean_error:.4g}"),
            worst_error=float(f"{after.worst_error:.4g}"),
        ),
        before=before,
        after=after,
        kinds={
            kind: Improvement(
                additivity(predicted_ms[at], measured_ms[at]),
                additivity(best.left_out_ms[at], measured_ms[at]),
            )
            for kind, at in of_kind.items()
            if at.sum() > 1
        },
    )


def _check(predicted_ms: Times, measured_ms: Times) -> None:
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


def _fits(
    predicted_ms: Times, measured_ms: Times, size_bytes: NDArray[np.int64] | None
) -> list[_Fit]:
    """A line, and one with the parameters' bytes."""
    line = np.column_stack([predicted_ms, np.ones_like(predicted_ms)])
    fits = [_fit(line, measured_ms)]
    if size_bytes is not None:
        fits.append(_fit(np.column_stack([line, size_bytes / _BYTES_PER_MB]), measured_ms))
    return fits


def _fit(terms: Times, measured_ms: Times) -> _Fit:
    """The correction of these terms, of shape (networks, 2 or 3)."""
    relative = terms / measured_ms[:, None]
    others = ~np.eye(len(terms), dtype=bool)
    left_out_ms = [row @ _huber(relative[rest]) for row, rest in zip(terms, others, strict=True)]
    scale, offset_ms, *per_mb = map(float, _huber(relative))
    return _Fit(scale, offset_ms, per_mb[0] if per_mb else 0.0, np.array(left_out_ms))


def _huber(terms: Times) -> Times:
    """Factors by which terms of shape (networks, factors) come nearest to 1.

    By least squares again and again, each time with less weight on what is far off.
    """
    weights = np.ones(len(terms))
    factors: Times = np.zeros(terms.shape[1])
    for _ in range(_MOST_STEPS):
        root, before = np.sqrt(weights), factors
        solution = np.linalg.lstsq(terms * root[:, None], root, rcond=None)[0]
        factors = np.asarray(solution, np.float64)
        if np.allclose(factors, before, rtol=1e-6, atol=1e-12):
            break
        weights = USUAL_ERROR / np.maximum(np.abs(terms @ factors - 1), USUAL_ERROR)
    return factors
