"""The schemes: how layers' times become predictions of whole networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from covering import Networks, covering_count, layer_keys, names_of
from interleaved import Run, Times
from metanas.profiling import CALL
from metanas.profiling.fidelity import FEWEST_NETWORKS, Additivity, additivity, calibrate
from metanas.spaces import Genes, SearchSpace

STRENGTHS = np.logspace(-4, 2, 25)
"""Of the ridge regression, by the mean eigenvalue of its kernel."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """A way to predict networks, what it predicted, and what a whole table by it takes."""

    name: str
    predicted_ms: Times
    timings: int
    seconds: float


class Results:
    """What was timed, as the schemes' predictions.

    Args:
        space: of the networks.
        networks: which were timed.
        run: their times.
    """

    def __init__(self, space: SearchSpace[Any], networks: Networks, run: Run) -> None:
        self.space = space
        self.networks = networks
        self.run = run
        self.call_ms = float(run.best(f"inside {CALL.key}")[0])
        self.alone_ms = self._rows("alone", networks.tested, networks.line, networks.covering)
        self.inside_ms = self._rows("inside", networks.tested, networks.line)
        self.measured_ms = self.latencies(networks.tested)

    def schemes(self) -> list[Scheme]:
        tested = self.networks.tested
        rows = len(self.space.all_layers)
        alone_s, inside_s = self._seconds("alone", rows), self._seconds("inside", rows)
        minus_call, between = "alone - call", "between neighbours - call"
        schemes = [
            Scheme("layers alone", self._sums(tested, self.alone_ms), rows, alone_s),
            Scheme(minus_call, self.minus_call(tested, self.alone_ms), rows + 1, alone_s),
            Scheme(between, self.minus_call(tested, self.inside_ms), rows + 1, inside_s),
        ]
        plain = zip(schemes[1:3], (self.alone_ms, self.inside_ms), strict=True)
        if len(self.networks.covering):
            schemes += self._of_covering_networks(alone_s)
        return [*schemes, *(self._with_correction(scheme, times_ms) for scheme, times_ms in plain)]

    def _of_covering_networks(self, alone_s: float) -> list[Scheme]:
        tested, covering = self.networks.tested, self._trusted(self.networks.covering)
        rows, cover = len(self.space.all_layers), covering_count(self.space)
        fitted = corrected(
            self.space, covering, self.latencies(covering), self._own(self.alone_ms), self.call_ms
        )
        nodes_ms = self.call_ms + self._sums(tested, self._node_rows())
        fitted_ms = self.call_ms + self._sums(tested, fitted)
        fitted_s = alone_s + cover * self._seconds("network", 1)
        return [
            Scheme("nodes of networks", nodes_ms, cover + 1, self._seconds("nodes", cover)),
            Scheme("least squares", fitted_ms, rows + 1 + cover, fitted_s),
        ]

    def _with_correction(self, scheme: Scheme, times_ms: Times) -> Scheme:
        line, tested = self._trusted(self.networks.line), self.networks.tested
        fit = calibrate(
            self.minus_call(line, times_ms),
            self.latencies(line),
            size_bytes=self.space.size_bytes(line),
        ).calibration
        loading_ms = fit.ms_per_mb * self.space.size_bytes(tested) / 1e6
        return Scheme(
            f"{scheme.name} + correction",
            fit.scale * scheme.predicted_ms + fit.offset_ms + loading_ms,
            scheme.timings + len(self.networks.line),
            scheme.seconds + len(self.networks.line) * self._seconds("network", 1),
        )

    def noise(self) -> Additivity | None:
        """Two halves of the timings of the tested networks, where there are two trusted ones."""
        names = (f"network {name}" for name in names_of(self.space, self.networks.tested))
        pairs = [halves for name in names if (halves := self.run.halves(name))]
        return additivity(*np.array(pairs).T) if pairs else None

    def minus_call(self, genes: Genes, times_ms: Times) -> Times:
        return self.call_ms + self._sums(genes, self._own(times_ms))

    def latencies(self, genes: Genes) -> Times:
        """Measured, (networks,)."""
        names = names_of(self.space, genes)
        return np.array([self.run.best(f"network {name}")[0] for name in names])

    def _trusted(self, genes: Genes) -> Genes:
        """Networks to fit to: those with a trusted timing, or all where those are too few."""
        names = names_of(self.space, genes)
        trusted = np.array([bool(self.run.trusted(f"network {name}")) for name in names])
        return genes[trusted] if trusted.sum() >= FEWEST_NETWORKS else genes

    def _own(self, times_ms: Times) -> Times:
        return np.maximum(times_ms - self.call_ms, 0.0)

    def _sums(self, genes: Genes, rows_ms: Times) -> Times:
        return self.space.sum_over_layers(genes, rows_ms)

    def _rows(self, how: str, *genes: Genes) -> Times:
        """Times aligned to all layers; those that no network has are not a number."""
        timed = set(layer_keys(self.space, *genes))
        return np.array(
            [
                self.run.best(f"{how} {layer.key}")[0] if layer.key in timed else np.nan
                for layer in self.space.all_layers
            ]
        )

    def _node_rows(self) -> Times:
        """The mean over the covering networks that hold a layer."""
        found: dict[str, list[float]] = {}
        for name in names_of(self.space, self.networks.covering):
            layers = self.space.layers(self.space.parse(name))
            for layer, layer_ms in zip(layers, self.run.best(f"nodes {name}"), strict=True):
                found.setdefault(layer.key, []).append(float(layer_ms))
        return np.array(
            [np.mean(found.get(layer.key, [np.nan])) for layer in self.space.all_layers]
        )

    def _seconds(self, how: str, count: int) -> float:
        return count * self.run.seconds([n for n in self.run.timings if n.startswith(f"{how} ")])


def corrected(
    space: SearchSpace[Any], genes: Genes, latency_ms: Times, own_ms: Times, call_ms: float
) -> Times:
    """Layers' own times, corrected by the latency of whole networks.

    Ridge regression of relative errors: each layer may differ from its time alone by a share of
    it, and the strength that holds the shares small is the one with the least leave-one-out error.

    Args:
        space: of the networks.
        genes: (networks, genes).
        latency_ms: of these, (networks,).
        own_ms: times of all layers alone, not a number where the networks do not have the layer.
        call_ms: of a call of the runtime.

    Returns:
        Aligned to all layers, like `own_ms`.
    """
    shares = np.zeros((len(genes), len(own_ms) + 1))  # the last is of empty slots
    rows = np.arange(len(genes))[:, None]
    np.add.at(shares, (rows, space.layer_indices(genes)), 1.0)
    shares = shares[:, :-1] * np.nan_to_num(own_ms) / latency_ms[:, None]
    missing = 1 - call_ms / latency_ms - shares.sum(axis=1)
    kernel = shares @ shares.T
    values, vectors = np.linalg.eigh(kernel)
    inside = vectors.T @ missing

    def weights(strength: float) -> Times:
        solved: Times = vectors @ (inside / (values + strength))
        return solved

    def left_out_error(strength: float) -> float:
        diagonal = (vectors**2 / (values + strength)).sum(axis=1)
        return float(np.sum((weights(strength) / diagonal) ** 2))

    change = shares.T @ weights(min(STRENGTHS * float(np.mean(values)), key=left_out_error))
    result: Times = own_ms * np.maximum(1 + change, 0.0)
    return result
