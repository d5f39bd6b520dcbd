"""In which order the rows of a sweep are timed.

Random, so that a slow drift of the device falls on small and large layers alike; or, where there
is no time for all, what a search needs most before the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metanas.profiling.table import CALL
from metanas.spaces import SearchSpace
from metanas_agent.layers import LayerSpec

TIER = 20
"""So many rows in a row of need are timed in random order."""

_ARCHITECTURES = 100_000


def shuffled(layers: Sequence[LayerSpec], rng: np.random.Generator) -> list[str]:
    """Their keys in random order, the largest anywhere but at the end."""
    return _keys(_mix(layers, rng))


def by_need(
    layers: Sequence[LayerSpec], needs: Mapping[str, float], rng: np.random.Generator
) -> list[str]:
    """Their keys: the call, without which no row can be used, then what is needed most.

    Args:
        layers: to bring into order.
        needs: by key, such as `expected_shares` gives.
        rng: shuffles those that are about as much needed as each other.
    """
    call = [layer for layer in layers if layer == CALL]
    ranked = sorted(
        (layer for layer in layers if layer != CALL),
        key=lambda layer: needs.get(layer.key, 0.0),
        reverse=True,
    )
    tiers = (ranked[start : start + TIER] for start in range(0, len(ranked), TIER))
    return _keys([*call, *(layer for tier in tiers for layer in _mix(tier, rng))])


def expected_shares(space: SearchSpace[Any]) -> dict[str, float]:
    """By key, a layer's expected share of the latency of a random architecture; the sum is 1.

    Before anything is measured, a layer's latency is taken as its work (multiply-accumulates,
    and values read and written) and the mean work of a layer once more, for what each costs
    however small it is. The probability that an architecture has the layer is counted.
    """
    layers = space.all_layers
    genes = space.sample(_ARCHITECTURES, np.random.default_rng(0))
    indices = space.layer_indices(genes).ravel()
    uses = np.bincount(indices[indices >= 0], minlength=len(layers)).astype(np.float64)
    work = np.array([_work(layer) for layer in layers], np.float64)
    mean_work = (uses * work).sum() / uses.sum()
    shares: NDArray[np.float64] = uses * (work + mean_work)
    return dict(zip((layer.key for layer in layers), (shares / shares.sum()).tolist(), strict=True))


def _work(layer: LayerSpec) -> int:
    return layer.macs + layer.params + _values(layer.input_shape) + _values(layer.output_shape)


def _values(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


def _mix(tier: Sequence[LayerSpec], rng: np.random.Generator) -> list[LayerSpec]:
    return [tier[place] for place in rng.permutation(len(tier))]


def _keys(layers: list[LayerSpec]) -> list[str]:
    """Heat and drift are greatest at the end; what weighs most in a network is not timed there."""
    if len(layers) > 1 and _work(layers[-1]) == max(map(_work, layers)):
        layers[-1], layers[-2] = layers[-2], layers[-1]
    return [layer.key for layer in layers]
