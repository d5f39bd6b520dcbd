"""The charts of a run, each as an `<svg>` element; empty text where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from metanas.deploy.verification import Verification
from metanas.report import svg, wording
from metanas.report.records import FOUND, SUPERNET, SearchResult, SearchRound, TrainingStep
from metanas.report.run_files import RunFiles

_MOST_POINTS = 300
_WIDE = 30


def search_progress(rounds: Sequence[SearchRound]) -> str:
    """Best and median loss of the architectures of each round, and the best so far."""
    if not rounds:
        return ""
    numbers = [r.round for r in rounds]
    losses = [r.of_compared(r.losses) for r in rounds]
    best = [min(values) for values in losses]
    so_far = np.minimum.accumulate(best)
    with svg.chart_style():
        figure, axes = svg.make_axes()
        middle = [float(np.median(values)) for values in losses]
        axes.plot(numbers, middle, color=svg.SECOND, marker="o", ms=3, label="median")
        axes.plot(numbers, best, color=svg.ACCENT, marker="o", ms=3, label="best of the round")
        axes.plot(
            numbers, so_far, color=svg.ACCENT, ls=":", lw=1, label="best so far", ds="steps-post"
        )
        _spread_out(axes, axes.yaxis)  # a network that diverges has a huge loss
        axes.set(xlabel="round", ylabel="validation loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
        label = f"Search progress over {len(rounds)} rounds: best loss from {best[0]:.3f} to "
        return svg.to_svg(figure, name="search", label=f"{label}{so_far[-1]:.3f}")


def cost_accuracy(run: RunFiles) -> str:
    """What saw all tasks of a round, the Pareto front, the limit, and what came of it."""
    cost = run.main_cost
    scored = [
        (value, share * 100)
        for r in run.rounds
        if cost in r.costs
        for value, share in zip(
            r.of_compared(r.costs[cost]), r.of_compared(r.accuracies), strict=True
        )
    ]
    trained = {name: network for name, network in run.networks.items() if cost in network.costs}
    if not scored and not run.search and not trained:
        return ""
    with svg.chart_style():
        figure, axes = svg.make_axes(height=3.8)
        if scored:
            values, accuracy = zip(*scored, strict=True)
            label = "scored in the search"
            axes.scatter(values, accuracy, 10, svg.MUTED, alpha=0.45, lw=0, label=label)
        if run.search:
            _draw_search(axes, run.search)
        for (name, network), marker in zip(trained.items(), cycle("*Ds^v"), strict=False):
            axes.errorbar(
                [network.costs[cost]],
                [network.deployed.accuracy * 100],
                yerr=[network.deployed.interval * 100],
                fmt=marker,
                ms=11 if marker == "*" else 6,
                capsize=3,
                color=_colours(run.networks)[name],
                label=f"{name}, trained by itself",
            )
        _spread_out(axes, axes.xaxis)
        axes.set(xlabel=wording.cost_axis(cost), ylabel="accuracy (%)")
        figure.legend(loc="outside lower center", ncols=3)
        label = f"Accuracy of {len(scored)} scored architectures against "
        return svg.to_svg(figure, name="front", label=label + wording.cost_axis(cost))


def training_curves(training: Mapping[str, Sequence[TrainingStep]]) -> str:
    """Training accuracy of each network, smoothed, and its validation accuracy as it was."""
    curves = {name: steps for name, steps in training.items() if steps}
    if not curves:
        return ""
    with svg.chart_style():
        figure, axes = svg.make_axes()
        for name, steps in curves.items():
            numbers = np.array([step.step for step in steps])
            accuracy = np.array([step.accuracy for step in steps]) * 100
            colour = _colours(curves)[name]
            axes.plot(*_smoothed(numbers, accuracy), color=colour, label=name)
            _draw_validation(axes, steps, colour, label=f"{name}, validation")
        axes.set(xlabel="step", ylabel="accuracy (%)")
        axes.legend(loc="lower right")
        ends = ", ".join(f"{n} {wording.percent(s[-1].accuracy)}" for n, s in curves.items())
        return svg.to_svg(figure, name="training", label=f"Training curves; last step: {ends}")


def _draw_validation(axes: Axes, steps: Sequence[TrainingStep], colour: str, *, label: str) -> None:
    validated = [(s.step, s.val_accuracy * 100) for s in steps if s.val_accuracy is not None]
    if validated:
        axes.plot(
            *zip(*validated, strict=True),
            color=colour,
            ls="--",
            lw=1,
            marker="o",
            ms=2.5,
            label=label,
        )


def predicted_measured(verification: Verification) -> str:
    """The table's promise and what the device took, with 95% intervals; empty without a promise."""
    predicted, measured = verification.predicted, verification.measured
    if predicted is None:
        return ""
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


def _colours(names: Iterable[str]) -> dict[str, str]:
    """A network has the same colour in every chart."""
    colours = {SUPERNET: svg.MUTED, FOUND: svg.GOOD}
    others = [name for name in names if name not in colours]
    return colours | dict(zip(others, cycle((svg.SECOND, svg.ACCENT, svg.INK)), strict=False))


def _draw_search(axes: Axes, search: SearchResult) -> None:
    cost = search.front_cost
    front = sorted((candidate.costs[cost], candidate.accuracy * 100) for candidate in search.front)
    values, accuracy = zip(*front, strict=True)
    axes.plot(
        values, accuracy, color=svg.ACCENT, marker="o", ms=4, ds="steps-post", label="Pareto front"
    )
    for constraint in search.constraints:
        if constraint.cost == cost:
            axes.axvline(constraint.limit, color=svg.INK, ls="--", lw=1, label="limit")


def _spread_out(axes: Axes, axis: Axis) -> None:
    """A logarithmic axis where a linear one would crowd most points at its start."""
    name = "x" if axis is axes.xaxis else "y"
    least, most = getattr(axes.dataLim, f"interval{name}")
    if 0 < least < most / _WIDE:
        axes.set(**{f"{name}scale": "log"})
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


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
