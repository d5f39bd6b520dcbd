"""Choice: networks of the kind that a search answers, without a trained super-network."""

from __future__ import annotations

from typing import Any

import numpy as np

from metanas.errors import MissingRowsError
from metanas.profiling.table import LatencyTable
from metanas.spaces import Genes, SearchSpace

SAMPLED = 2_000

_LEAST = 0.01  # quantile of the latencies: a limit that only one network keeps is no choice


def as_searched(
    table: LatencyTable, space: SearchSpace[Any], count: int, rng: np.random.Generator
) -> Genes:
    """For each of some latency limits, the network with the most work that keeps it.

    The limits are spread evenly, in ratio, over the latencies of random networks, so small and
    large ones are as frequent as each other. Multiply-accumulates stand in for accuracy: a search
    too looks for the most that a limit allows, by what the table says.

    Args:
        table: with the rows of the space; networks that it lacks rows of are passed over.
        space: to choose from.
        count: how many.
        rng: of the random networks.

    Returns:
        (count, genes), each network once; fewer only where the space has too few.

    Raises:
        MissingRowsError: the table lacks rows of every network.
    """
    genes = space.sample(SAMPLED, rng)
    lacking = set(table.missing(space.all_layers))
    lacks = np.array([layer.key in lacking for layer in space.all_layers], np.int64)
    known = genes[space.sum_over_layers(genes, lacks) == 0]
    if not len(known):
        raise MissingRowsError(
            f"the table of {table.header.device.name} lacks rows of every network that was tried",
            hint="profile the device again with metanas-profile; it measures only what is missing",
        )
    latency_ms, macs = table.latency_ms(space, known), space.macs(known)
    limits_ms = np.geomspace(np.quantile(latency_ms, _LEAST), latency_ms.max(), count)
    chosen: list[int] = []
    free = np.ones(len(known), dtype=bool)
    for limit_ms in limits_ms:
        if not free.any():
            break
        within = free & (latency_ms <= limit_ms)
        if within.any():
            place = int(np.where(within, macs, -1).argmax())
        else:  # all that are so fast are taken
            place = int(np.where(free, latency_ms, np.inf).argmin())
        chosen.append(place)
        free &= (known != known[place]).any(axis=1)
    result: Genes = known[chosen]
    return result
