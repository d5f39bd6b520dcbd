"""Residual: what the terms of `work` leave unexplained, and how alike it is in two layers.

A Gaussian process: layers of similar sizes are off alike, more so with the same kernel, the same
activation or both; and a device may be off where other devices are (a library's choice of
algorithm, an awkward number of channels).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from metanas.profiling.estimate.work import Floats
from metanas_agent.layers import ConvLayer, LayerSpec

Places = NDArray[np.int64]

# Variances of a logarithm. They were set once, to what fits tables of several runtimes and
# simulators, and hardly matter: `posterior` scales them all by what the probes say.
_BY_SIZE = 0.01
_BY_KERNEL = 0.005
_BY_ACTIVATION = 0.005
_BY_KIND = 0.015
_AS_OTHERS = 0.02
_OWN = 0.01

_OCTAVES = 2.0
"""Sizes that differ by so many powers of two are a length scale apart."""

_INTENSITY_OCTAVES = 3.0
_SHARED = 0.5
"""What is off in the mean of other devices is expected here by this share."""

_AT_ONCE = 256


class Residual:
    """How residuals of layers vary together.

    Args:
        layers: which the places below refer to.
        others: residuals of other devices, (devices, layers), 0 where unknown.
    """

    own = _OWN
    """Variance of what a layer has to itself; no other layer tells of it."""

    def __init__(self, layers: Sequence[LayerSpec], others: Floats) -> None:
        self._sizes = np.array([_sizes(layer) for layer in layers]) / _OCTAVES
        self._intensity = np.array([_intensity(layer) for layer in layers]) / _INTENSITY_OCTAVES
        self._kernel = _numbers((layer.op, getattr(layer, "kernel", 0)) for layer in layers)
        self._activation = _numbers(getattr(layer, "activation", "") for layer in layers)
        pools = (getattr(layer, "pool", 1) for layer in layers)
        self._kind = _numbers(zip(self._kernel, self._activation, pools, strict=True))
        self.mean = _SHARED * others.mean(axis=0)
        """Expected residual of each layer, (layers,)."""
        around = others - self.mean
        self._others = around / max(float(around.std()), np.finfo(np.float64).tiny)

    def covariance(self, places: Places, others: Places) -> Floats:
        """Between layers, (places, others)."""
        parts = np.array_split(places, -(-len(places) // _AT_ONCE))
        return np.concatenate([self._covariance(part, others) for part in parts])

    def variance(self, places: Places) -> Floats:
        """Of each layer, what it has to itself not counted."""
        fixed = _BY_SIZE + _BY_KERNEL + _BY_ACTIVATION + _BY_KIND
        varying: Floats = _AS_OTHERS * (self._others[:, places] ** 2).mean(axis=0)
        return fixed + varying

    def _covariance(self, some: Places, others: Places) -> Floats:
        def same(numbers: Places) -> NDArray[np.bool_]:
            alike: NDArray[np.bool_] = numbers[some][:, None] == numbers[others]
            return alike

        apart = ((self._sizes[some][:, None] - self._sizes[others]) ** 2).sum(axis=-1)
        intensities = (self._intensity[some][:, None] - self._intensity[others]) ** 2
        near = np.exp(-apart / 2)
        together = self._others[:, some].T @ self._others[:, others] / len(self._others)
        result: Floats = (
            _BY_SIZE * near
            + _BY_KERNEL * near * same(self._kernel)
            + _BY_ACTIVATION * near * np.exp(-intensities / 2) * same(self._activation)
            + _BY_KIND * np.exp(-2 * apart) * same(self._kind)
            + _AS_OTHERS * together
        )
        return result


def _sizes(layer: LayerSpec) -> list[float]:
    """Channels in, channels out, and pixels, in octaves."""
    shape = layer.conv_shape if isinstance(layer, ConvLayer) else layer.input_shape
    out = getattr(layer, "ways", shape[0])
    return [float(np.log2(size)) for size in (layer.in_channels, out, shape[1] * shape[2])]


def _intensity(layer: LayerSpec) -> float:
    """Multiply-accumulates for one output value, in octaves."""
    kernel = getattr(layer, "kernel", 1)
    return float(np.log2(layer.in_channels * kernel**2))


def _numbers(values: Iterable[object]) -> Places:
    """Equal values get equal numbers."""
    seen: dict[object, int] = {}
    return np.array([seen.setdefault(value, len(seen)) for value in values], np.int64)
