"""What latency_predictor.py finds: a row an estimator, the predictor's curve, the goals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metanas.profiling.fidelity import additivity

Times = NDArray[np.float64]

MSE_GOAL, TIME_GOAL = 14, 100


@dataclass(frozen=True)
class Row:
    """An estimator, what it needs, and how well it predicts the test set.

    Args:
        networks: whole networks measured for it.
        time_s: to collect its data and build it.
    """

    estimator: str
    networks: int
    time_s: float
    mse_ms2: float
    share_of_variance: float
    mean_error: float | None = None
    within_5: float | None = None
    within_10: float | None = None
    tau: float | None = None


@dataclass(frozen=True)
class Report:
    """Everything that was found.

    Args:
        table: plain, then calibrated.
        again: the test set measured once more.
        curve: the predictor, by networks.
        extrapolated: where the curve would be at the paper's number of networks.
        network_s: what collecting one network to train on took.
        network_alone_s: of that, what is left without calling the device, which starts a process
            for each network and for one sweep's batch of layers.
        sentinel_spread: how much the device drifted while the table was made.
        pace: the sentinel's time beside the test set, by its time in the table.
    """

    device: str
    space: dict[str, str | int | bool]
    table: list[Row]
    again: Row
    curve: list[Row]
    extrapolated: Row | None
    network_s: float
    network_alone_s: float
    sentinel_spread: float
    pace: float


def judge(
    estimator: str, networks: int, time_s: float, predicted_ms: Times, measured_ms: Times
) -> Row:
    """Compare predictions of the test set with its measurements."""
    mse = float(np.square(predicted_ms - measured_ms).mean())
    agreement = additivity(predicted_ms, measured_ms)
    return Row(
        estimator=estimator,
        networks=networks,
        time_s=time_s,
        mse_ms2=mse,
        share_of_variance=mse / float(measured_ms.var()),
        mean_error=agreement.mean_error,
        within_5=agreement.within_5,
        within_10=agreement.within_10,
        tau=agreement.tau,
    )


class PowerLaw(NamedTuple):
    """MSE = factor × networks ** exponent."""

    factor: float
    exponent: float

    def mse_ms2(self, networks: float) -> float:
        return float(self.factor * networks**self.exponent)


def power_law(curve: Sequence[Row]) -> PowerLaw | None:
    """The line through the curve in logarithms, None of fewer than two points."""
    if len(curve) < 2:
        return None
    networks, errors = np.log([(row.networks, row.mse_ms2) for row in curve]).T
    exponent, intercept = np.polyfit(networks, errors, 1)
    return PowerLaw(float(np.exp(intercept)), float(exponent))


def extrapolate(curve: Sequence[Row], networks: int) -> Row | None:
    """The predictor with more networks, each as dear as those of the curve's last row."""
    law = power_law(curve)
    if law is None or networks <= curve[-1].networks:
        return None
    last = curve[-1]
    mse = law.mse_ms2(networks)
    return Row(
        estimator=f"{last.estimator}, extrapolated",
        networks=networks,
        time_s=last.time_s * networks / last.networks,
        mse_ms2=mse,
        share_of_variance=mse * last.share_of_variance / last.mse_ms2,
    )


def describe(report: Report) -> str:
    rows = [*report.table, report.again, *report.curve]
    rows += [report.extrapolated] if report.extrapolated else []
    settings = ", ".join(f"{name} {value}" for name, value in report.space.items())
    return "\n".join(
        [
            report.device,
            settings,
            "",
            f"{'estimator':27} {'networks':>8} {'time':>10} {'MSE (ms²)':>10} {'of variance':>11}"
            f" {'mean error':>10} {'within 5%':>9} {'10%':>6} {'tau':>6}",
            *map(describe_row, rows),
            "",
            f"one network to train on: {report.network_s:.3f} s, "
            f"{report.network_alone_s:.3f} s without the start of a process",
            f"sentinel: ±{report.sentinel_spread:.1%} over the table's sweep, and "
            f"{report.pace - 1:+.1%} beside the test set",
            "",
            *goals(report),
        ]
    )


def describe_row(row: Row) -> str:
    text = (
        f"{row.estimator:27} {row.networks:8,} {row.time_s:8,.1f} s {row.mse_ms2:10.3g}"
        f" {row.share_of_variance:11.3%}"
    )
    if row.mean_error is None:
        return text
    return f"{text} {row.mean_error:10.2%} {row.within_5:9.1%} {row.within_10:6.1%} {row.tau:6.3f}"


def goals(report: Report) -> list[str]:
    """The figures to reach, of the table with and without calibration."""
    lines = []
    largest, far = report.curve[-1], report.extrapolated
    for table in report.table:

        def times(time_s: float, table: Row = table) -> str:
            """Predictor's time by the table's: as it was, and without the starts of processes."""
            alone_s = time_s * report.network_alone_s / report.network_s
            return f"{time_s / table.time_s:,.1f} ({alone_s / table.time_s:,.1f})"

        lines += [
            f"{table.estimator}: predictor's MSE / table's, and time / table's "
            "(without the start of a process for each network)",
            f"  {largest.networks:,} networks:"
            f" {largest.mse_ms2 / table.mse_ms2:.1f} (goal {MSE_GOAL}), {times(largest.time_s)}",
        ]
        if far:
            lines.append(
                f"  {far.networks:,} networks, extrapolated:"
                f" {far.mse_ms2 / table.mse_ms2:.1f}, {times(far.time_s)}"
            )
        needed = networks_for(table.mse_ms2, report.curve)
        time_s = needed * largest.time_s / largest.networks
        lines += [
            f"  {needed:,.0f} networks, where the curve would reach the table's error:"
            f" 1.0, {times(time_s)} (goal {TIME_GOAL})",
            f"  within 10%: {table.within_10:.1%} (goal 100%), within 5%: {table.within_5:.1%}"
            f" (goal 95%), tau {table.tau:.3f} (goal 0.97)",
        ]
    return lines


def networks_for(mse_ms2: float, curve: Sequence[Row]) -> float:
    """How many networks the predictor needs for this error, by the power law; maybe infinity."""
    law = power_law(curve)
    if law is None or law.exponent >= 0:
        return math.inf
    return float((mse_ms2 / law.factor) ** (1 / law.exponent))
