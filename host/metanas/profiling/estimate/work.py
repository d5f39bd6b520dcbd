"""Work: what a layer gives a processor to do, so that its latency is a sum of terms.

    latency = exp(costs) @ terms: calling it, multiply-accumulates, values moved, activations

The terms are the same for all devices; the costs are what a device is. Fitted to whole tables they
explain all but some 15 to 30% of a layer's latency; the rest is left to `residual`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metanas_agent.layers import AddLayer, ConvLayer, HeadLayer, LayerSpec

Floats = NDArray[np.float64]

TERMS = (
    *("call", "head", "add"),
    *("macs, 1 x 1", "macs, 3 x 3", "macs, larger"),
    *("values out", "values in", "parameters"),
    *("elu", "selu", "sigmoid", "leakyrelu", "relu6"),
)
"""relu is part of `values out`."""

_EXPONENTIAL = ("elu", "selu", "sigmoid")
_USUAL_SHARES = np.array([0.1] * 3 + [0.5] * 3 + [0.1] * 3 + [0.1] * 5)
_DEVICE_SD = 2.0  # of the logarithm of a device's speed as a whole
_COST_SD = 1.5  # of that of each cost beside it
_EXPONENTIAL_SD = 1.0  # of what the activations that need an exponential have in common

_MOST_STEPS = 40
_CONVERGED = 1e-6


class Work:
    """The terms of some layers.

    Args:
        layers: whose terms.
        like: layers whose mean term is the unit, so that costs can be compared; by default these.
    """

    def __init__(self, layers: Sequence[LayerSpec], like: Work | None = None) -> None:
        raw = np.array([_terms(layer) for layer in layers], np.float64).T
        self._units: Floats = like._units if like else _means(raw)
        self.terms: Floats = raw / self._units[:, None]
        """(terms, layers)."""

    def log_ms(self, costs: Floats) -> Floats:
        """Logarithm of each layer's latency, (layers,)."""
        result: Floats = np.log(np.exp(costs) @ self.terms)
        return result

    def slopes(self, costs: Floats) -> Floats:
        """Derivatives of `log_ms`, (layers, terms): the share that each term has."""
        parts = np.exp(costs)[:, None] * self.terms
        shares: Floats = (parts / parts.sum(axis=0)).T
        return shares

    def at(self, places: NDArray[np.int64]) -> Work:
        """The same of some of the layers."""
        part = object.__new__(Work)
        part._units, part.terms = self._units, self.terms[:, places]
        return part


def usual_costs(log_ms: float) -> Floats:
    """Costs to begin with, where layers take exp(`log_ms`) milliseconds."""
    costs: Floats = log_ms + np.log(_USUAL_SHARES)
    return costs


def spread_of_costs() -> Floats:
    """Covariance of a device's costs around the usual ones, (terms, terms)."""
    covariance: Floats = _DEVICE_SD**2 + _COST_SD**2 * np.eye(len(TERMS))
    alike = [TERMS.index(name) for name in _EXPONENTIAL]
    covariance[np.ix_(alike, alike)] += _EXPONENTIAL_SD**2
    return covariance


def fit_costs(work: Work, log_ms: Floats, noise: Floats, usual: Floats) -> Floats:
    """The most probable costs, by the method of Levenberg and Marquardt.

    Args:
        work: of the layers that were measured.
        log_ms: logarithm of their latencies.
        noise: covariance of what the terms do not explain: a matrix, or a variance for each.
        usual: costs before anything is measured.
    """
    weigh = np.linalg.inv(noise) if noise.ndim == 2 else np.diag(1 / noise)
    prior = np.linalg.inv(spread_of_costs())

    def badness(costs: Floats) -> float:
        rest, away = log_ms - work.log_ms(costs), costs - usual
        return float(rest @ weigh @ rest + away @ prior @ away)

    costs, damping = usual, 0.1
    least = badness(costs)
    for _ in range(_MOST_STEPS):
        slopes = work.slopes(costs)
        curvature = slopes.T @ weigh @ slopes + prior
        downhill = slopes.T @ weigh @ (log_ms - work.log_ms(costs)) - prior @ (costs - usual)
        damped = curvature + damping * np.diag(np.diag(curvature))
        tried = costs + np.linalg.solve(damped, downhill)
        found = badness(tried)
        if found >= least:
            damping *= 4
            continue
        gained, costs, least = least - found, tried, found
        damping /= 4
        if gained < _CONVERGED * least:
            break
    return costs


def _means(raw: Floats) -> Floats:
    """Of the layers that have the term at all."""
    count = (raw > 0).sum(axis=1)
    means: Floats = np.where(count > 0, raw.sum(axis=1) / np.maximum(count, 1), 1.0)
    return means


def _terms(layer: LayerSpec) -> list[float]:
    """In the order of `TERMS`."""
    kernel = layer.kernel if isinstance(layer, ConvLayer) else 1
    values = int(np.prod(layer.conv_shape if isinstance(layer, ConvLayer) else layer.input_shape))
    activation = layer.activation if isinstance(layer, ConvLayer | AddLayer) else "none"
    return [
        1.0,
        isinstance(layer, HeadLayer),
        isinstance(layer, AddLayer),
        *(layer.macs * matches for matches in (kernel < 3, kernel == 3, kernel > 3)),
        values,
        int(np.prod(layer.input_shape)),
        layer.params,
        *(values * (activation == name) for name in TERMS[9:]),
    ]
