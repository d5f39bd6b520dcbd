"""NewBoard: what other devices' tables say of a device that is not measured yet, and then of one
of which a few layers are.

    log latency = log(exp(costs) @ terms) + residual

with `costs` expected where the other devices' are, and `residual` a Gaussian process that expects
what theirs have in common. A few measured layers (probes) narrow both. As HELP (Lee et al., 2021)
does, a board is described by a few measured layers; unlike it, there is nothing to train, and each
estimate comes with its uncertainty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from metanas.profiling.estimate.residual import Places, Residual
from metanas.profiling.estimate.work import (
    Floats,
    Work,
    fit_costs,
    spread_of_costs,
    usual_costs,
)
from metanas_agent.layers import LayerSpec, parse_layer

OwnTimes = Mapping[str, float]
"""Milliseconds, more than 0, that each layer takes without the call of the runtime, by key."""

# All variances of the residual may be off by a factor: 2 is expected, since tables of few devices
# show less than there is, give or take an e-fold. `benchmarks/estimate_board.py` checks intervals.
_SCALES = np.exp(np.linspace(-1.5, 2.5, 9))
_USUAL_SCALE = 2.0
_SCALE_SD = 1.0

_SOURCE_NOISE = 0.4  # variance; large, since the residuals of thousands of rows are not independent
_FITTED_ROWS = 600
_CANDIDATES = 1000  # layers to choose probes from; more than that are thinned out at random


class Estimate(NamedTuple):
    """Logarithm of each layer's own milliseconds: mean and standard deviation, (layers,)."""

    mean: Floats
    deviation: Floats


class Probes(NamedTuple):
    """Layers that were measured.

    Args:
        places: which layers.
        log_ms: logarithm of their own milliseconds.
        variance: of that, by the measurement's noise.
    """

    places: Places
    log_ms: Floats
    variance: Floats


class NewBoard:
    """A device of which only other devices' tables tell.

    Args:
        layers: to be estimated.
        others: own times of each other device, of these layers or of others.
    """

    def __init__(self, layers: Sequence[LayerSpec], others: Sequence[OwnTimes]) -> None:
        self.layers = layers
        self._work = Work(layers)
        fits = [self._fit(own_ms) for own_ms in others]
        self._usual: Floats = np.mean([costs for costs, _ in fits], axis=0)
        self._residual = Residual(layers, np.array([residual for _, residual in fits]))
        self._all = np.arange(len(layers))

    def choose_probes(self, count: int, uses: Floats, known: Probes | None = None) -> Places:
        """The layers that tell most when they are measured too, the most telling first.

        Greedy: each next one lowers the variance of the layers and of the architectures the most.

        Args:
            count: how many.
            uses: how often each of some random architectures has each layer,
                (architectures, layers).
            known: what is measured already.
        """
        before = np.array([], np.int64) if known is None else known.places
        rng = np.random.default_rng(0)
        others = np.setdiff1d(rng.permutation(len(self.layers))[:_CANDIDATES], before)
        pool = np.concatenate([before, others])
        costs = self._usual if known is None else self._most_probable(known)
        slopes = self._work.slopes(costs)
        between = slopes @ spread_of_costs() @ slopes[pool].T
        between += self._residual.covariance(self._all, pool)
        shares = uses * np.exp(self._work.log_ms(costs))
        networks = shares / shares.sum(axis=1, keepdims=True) @ between
        between = between[pool]
        chosen: list[int] = []
        for number in range(min(len(before) + count, len(pool))):
            variance = np.diag(between) + self._residual.own
            gain = ((networks**2).mean(axis=0) + (between**2).mean(axis=0)) / variance
            gain[chosen] = -1.0
            best = number if number < len(before) else int(gain.argmax())
            chosen.append(best)
            told = between[best] / variance[best]
            networks = networks - np.outer(networks[:, best], told)
            between = between - np.outer(between[:, best], told)
        return pool[chosen[len(before) :]]

    def estimate(self, probes: Probes) -> Estimate:
        """Every layer, by what the probes say and how far they are from what was expected.

        The scale of the residual is not known: it is summed over, each by its probability.
        """
        found = [self._estimate(probes, scale) for scale in _SCALES]
        evidence = np.array([evidence for _, evidence in found])
        evidence -= (np.log(_SCALES / _USUAL_SCALE) / _SCALE_SD) ** 2 / 2
        weights = np.exp(evidence - evidence.max())
        weights /= weights.sum()
        means = np.array([estimate.mean for estimate, _ in found])
        variances = np.array([estimate.deviation**2 for estimate, _ in found])
        mean = weights @ means
        return Estimate(mean, np.sqrt(weights @ (variances + (means - mean) ** 2)))

    def _estimate(self, probes: Probes, scale: float) -> tuple[Estimate, float]:
        """The posterior, linear around the most probable costs, and the log of its evidence."""
        places = probes.places
        own = scale * self._residual.own
        noise = self._noise(probes, scale)
        expected = self._residual.mean
        costs = self._most_probable(probes, scale)
        slopes, spread = self._work.slopes(costs), spread_of_costs()
        prior = self._work.log_ms(costs) + expected - slopes @ (costs - self._usual)
        carried = slopes @ spread
        between = carried @ slopes[places].T
        among = between[places] + noise
        between += scale * self._residual.covariance(self._all, places)
        rest = probes.log_ms - prior[places]
        gains = np.linalg.solve(among, between.T)
        variance = (carried * slopes).sum(axis=1) + scale * self._residual.variance(self._all)
        variance -= (between * gains.T).sum(axis=1)
        evidence = -(rest @ np.linalg.solve(among, rest) + np.linalg.slogdet(among)[1]) / 2
        deviation = np.sqrt(np.maximum(variance, 0.0) + own)
        return Estimate(prior + gains.T @ rest, deviation), float(evidence)

    def _most_probable(self, probes: Probes, scale: float = 1.0) -> Floats:
        log_ms = probes.log_ms - self._residual.mean[probes.places]
        work = self._work.at(probes.places)
        return fit_costs(work, log_ms, self._noise(probes, scale), self._usual)

    def _noise(self, probes: Probes, scale: float) -> Floats:
        """Covariance of what the terms do not explain of the probes, (probes, probes)."""
        covariance = self._residual.covariance(probes.places, probes.places) * scale
        return covariance + np.diag(scale * self._residual.own + probes.variance)

    def _fit(self, own_ms: OwnTimes) -> tuple[Floats, Floats]:
        """Costs of another device, and its residual at each of our layers, 0 where unknown."""
        keys = list(own_ms)
        log_ms = np.log(list(own_ms.values()))
        some = np.random.default_rng(0).permutation(len(keys))[:_FITTED_ROWS]
        work = Work([parse_layer(keys[place]) for place in some], like=self._work)
        noise = np.full(len(some), _SOURCE_NOISE)
        costs = fit_costs(work, log_ms[some], noise, usual_costs(float(log_ms.mean())))
        expected = dict(zip((x.key for x in self.layers), self._work.log_ms(costs), strict=True))
        known = dict(zip(keys, log_ms, strict=True))
        rest = [known.get(key, value) - value for key, value in expected.items()]
        return costs, np.array(rest)
