"""Random networks of a space, and others that hold all of their layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metanas.spaces import Genes, SearchSpace
from metanas_agent.layers import LayerSpec

POOL = 20_000


class Networks(NamedTuple):
    """Genes of networks; none is in two of these.

    Args:
        tested: to be predicted.
        line: that lines are fitted to.
        covering: that together hold all layers of the tested ones; none, where not asked for.
    """

    tested: Genes
    line: Genes
    covering: Genes


def choose_networks(
    space: SearchSpace[Any], tested: int, line: int, rng: np.random.Generator, *, covered: bool
) -> Networks:
    """Random networks, and others that cover their layers, if they shall be covered."""
    drawn = np.empty((0, len(space.cardinalities)), np.int64)
    while len(drawn) < tested + line:
        drawn = _distinct(np.concatenate([drawn, space.sample(tested + line, rng)]))
    drawn = drawn[: tested + line]
    covering = _cover(space, drawn, drawn[:tested], rng) if covered else drawn[:0]
    return Networks(drawn[:tested], drawn[tested:], covering)


def covering_count(space: SearchSpace[Any], *, sample: int = 200_000) -> int:
    """Fewest networks that could hold all layers: the most layers of one position."""
    indices = space.layer_indices(space.sample(sample, np.random.default_rng(0)))
    return max(len(np.unique(column[column >= 0])) for column in indices.T)


def layer_keys(space: SearchSpace[Any], *genes: Genes) -> Iterable[str]:
    """Of the distinct layers of some networks."""
    layers: tuple[LayerSpec, ...] = space.all_layers
    found = np.unique(np.concatenate([space.layer_indices(some).ravel() for some in genes]))
    return [layers[place].key for place in found if place >= 0]


def names_of(space: SearchSpace[Any], *genes: Genes) -> list[str]:
    return [str(space.from_genes(row)) for row in np.concatenate(genes)]


def first_seen(genes: Genes) -> NDArray[np.intp]:
    """Places at which a network stands that did not stand before, in order."""
    return np.sort(np.unique(genes, axis=0, return_index=True)[1])


def without(genes: Genes, taken: Genes) -> Genes:
    """Those that are not among the taken ones, in order."""
    known = {row.tobytes() for row in taken}
    return genes[[row.tobytes() not in known for row in genes]]


def _cover(space: SearchSpace[Any], taken: Genes, tested: Genes, rng: np.random.Generator) -> Genes:
    """Greedily, from random networks that are not taken: each adds most of what is missing."""
    missing = np.zeros(len(space.all_layers) + 1, bool)
    missing[space.layer_indices(tested)] = True
    missing[-1] = False  # empty slots
    chosen = []
    while missing.any():
        pool = without(_distinct(space.sample(POOL, rng)), taken)
        indices = space.layer_indices(pool)
        while True:
            gains = missing[indices].sum(axis=1)
            best = gains.argmax()
            if not gains[best]:
                break
            chosen.append(pool[best])
            missing[indices[best]] = False
    return np.stack(chosen)


def _distinct(genes: Genes) -> Genes:
    return genes[first_seen(genes)]
