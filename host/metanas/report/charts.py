"""The charts of a run, each as an `<svg>` element; empty text where there is nothing to draw."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from metanas.deploy.verification import Verification
from metanas.report import svg, wording
from metanas.report.run_files import Evaluation, SearchResult, SearchRound, TrainingStep

_MOST_POINTS = 300
_WIDE = 30


def search_progress(rounds: Sequence[SearchRound]) -> str:
    """Best and median loss of the architectures of each round, and the best so far."""
    kept = [(r.round, [x for x in r.losses if x is not None]) for r in rounds]
    kept = [(number, losses) for number, losses in kept if losses]
    if not kept:
        return ""
    numbers = [number for number, _ in kept]
    best = [min(losses) for _, losses in kept]
    with svg.chart_style():
        figure, axes = svg.make_axes()
        middle = [float(np.median(losses)) for _, losses in kept]
        axes.plot(numbers, middle, color=svg.SECOND, marker="o", ms=3, label="median")
        axes.plot(numbers, best, color=svg.ACCENT, marker="o", ms=3, label="best of the round")
        so_far = np.minimum.accumulate(best)
        axes.plot(
            numbers, so_far, color=svg.ACCENT, ls=":", lw=1, label="best so far", ds="steps-post"
        )
        axes.set(xlabel="round", ylabel="validation loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
        label = f"Search progress over {len(kept)} rounds: best loss from {best[0]:.3f} to "
        return svg.to_svg(figure, name="search", label=f"{label}{so_far[-1]:.3f}")


def latency_accuracy(
    rounds: Sequence[SearchRound], search: SearchResult | None, evaluation: Evaluation | None
) -> str:
    """Every architecture that was scored, the Pareto front, the limit, and what came of it."""
    scored = [
        (latency_ms, share * 100)
        for r in rounds
        for latency_ms, share in zip(r.latency_ms, r.accuracies, strict=True)
        if share is not None
    ]
    if not scored and not (search and search.front) and not evaluation:
        return ""
    with svg.chart_style():
        figure, axes = svg.make_axes(height=3.6)
        if scored:
            latency_ms, accuracy = zip(*scored, strict=True)
            label = "scored in the search"
            axes.scatter(latency_ms, accuracy, 10, svg.MUTED, alpha=0.45, lw=0, label=label)
        if search and search.front:
            front = sorted((point.latency_ms, point.accuracy * 100) for point in search.front)
            axes.plot(
                *zip(*front, strict=True),
                color=svg.ACCENT,
                marker="o",
                ms=4,
                ds="steps-post",
                label="Pareto front",
            )
        _draw_limit(axes, search)
        if evaluation:
            _draw_evaluation(axes, evaluation)
        _spread_out(axes)
        axes.set(xlabel="predicted latency (ms)", ylabel="accuracy (%)")
        axes.legend()
        label = f"Accuracy against predicted latency of {len(scored)} scored architectures"
        return svg.to_svg(figure, name="front", label=label)


def training_curves(training: dict[str, tuple[TrainingStep, ...]]) -> str:
    """Training accuracy of each network, smoothed."""
    curves = {name: steps for name, steps in training.items() if steps}
    if not curves:
        return ""
    colours = {"supernet": svg.MUTED, "found": svg.ACCENT, "baseline": svg.SECOND}
    with svg.chart_style():
        figure, axes = svg.make_axes()
        for name, steps in curves.items():
            numbers = np.array([step.step for step in steps])
            accuracy = np.array([step.accuracy for step in steps]) * 100
            axes.plot(*_smoothed(numbers, accuracy), color=colours.get(name), label=name)
        axes.set(xlabel="step", ylabel="training accuracy (%)")
        axes.legend(loc="lower right")
        ends = ", ".join(f"{n} {wording.percent(s[-1].accuracy)}" for n, s in curves.items())
        return svg.to_svg(figure, name="training", label=f"Training curves; last step: {ends}")


def predicted_measured(verification: Verification) -> str:
    """The table's promise and what the device took, with 95% intervals and percentiles."""
    predicted, measured = verification.predicted, verification.measured
    with svg.chart_style():
        figure, axes = svg.make_axes(height=2.0)
        promised = (predicted.latency_ms, predicted.low_ms, predicted.high_ms)
        _draw_interval(axes, 1, promised, svg.ACCENT)
        axes.plot((measured.p10_ms, measured.p90_ms), (0, 0), color=svg.SECOND, lw=6, alpha=0.35)
        taken = (measured.median_ms, measured.low_ms, measured.high_ms)
        _draw_interval(axes, 0, taken, svg.SECOND)
        if len(verification.medians_ms) > 1:
            rows = np.full(len(verification.medians_ms), -0.55)
            axes.scatter(verification.medians_ms, rows, s=9, color=svg.MUTED, alpha=0.7, lw=0)
        axes.set_yticks([0, 1], ["measured", "predicted"])
        axes.set_ylim(-0.9, 1.6)
        axes.set_xlim(0, 1.12 * max(measured.p90_ms, predicted.high_ms, *verification.medians_ms))
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("latency of one image (ms)")
        return svg.to_svg(
            figure,
            name="latency",
            label=f"Predicted {wording.milliseconds(predicted.latency_ms)}, measured "
            f"{wording.milliseconds(measured.median_ms)}",
        )


def _draw_interval(
    axes: Axes, row: float, times_ms: tuple[float, float, float], colour: str
) -> None:
    middle, low, high = times_ms
    errors = [[middle - low], [high - middle]]
    axes.errorbar([middle], [row], xerr=errors, fmt="o", ms=5, capsize=4, color=colour)
    text = wording.milliseconds(middle)
    axes.annotate(
        text, (middle, row), (0, 7), textcoords="offset points", ha="center", color=svg.INK
    )


def _spread_out(axes: Axes) -> None:
    """A logarithmic latency axis where a linear one would crowd most points at its left."""
    shortest, longest = axes.dataLim.intervalx
    if 0 < shortest < longest / _WIDE:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda ms, _: f"{ms:g}"))


def _draw_limit(axes: Axes, search: SearchResult | None) -> None:
    limit = search.limits.get("latency_ms") if search else None
    if isinstance(limit, (int, float)) and math.isfinite(limit):
        axes.axvline(limit, color=svg.INK, ls="--", lw=1, label="latency limit")


def _draw_evaluation(axes: Axes, evaluation: Evaluation) -> None:
    networks = (
        ("found, retrained", evaluation.found, svg.GOOD, "*", 11),
        ("baseline, trained", evaluation.baseline, svg.SECOND, "D", 6),
    )
    for label, network, colour, marker, size in networks:
        if network:
            axes.errorbar(
                [network.predicted_latency_ms],
                [network.deployed.accuracy * 100],
                yerr=[network.deployed.interval * 100],
                fmt=marker,
                ms=size,
                capsize=3,
                color=colour,
                label=label,
            )


def _smoothed(
    numbers: NDArray[np.int_], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means of consecutive steps, at most `_MOST_POINTS` of them."""
    parts = min(_MOST_POINTS, max(len(values) // 5, min(len(values), 20)))
    means = [
        np.array([part.mean() for part in np.array_split(series, parts)])
        for series in (numbers, values)
    ]
    return means[0], means[1]
