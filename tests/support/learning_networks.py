"""Networks with meta-parameters of which no value is a special one, and support sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from metanas.meta import MetaParameters, initialise
from metanas.spaces import make_space
from metanas.spaces.network import Network
from support.random_networks import WAYS


def random_text(
    space: str,
    seed: int,
    *,
    input_shape: tuple[int, int, int],
    settings: dict[str, Any] | None = None,
) -> str:
    """A random architecture of a space."""
    made = make_space(space, input_shape=input_shape, ways=WAYS, **(settings or {}))
    (genes,) = made.sample(1, np.random.default_rng(seed))
    return str(made.from_genes(genes))


def learning_network(
    space: str,
    text: str,
    *,
    input_shape: tuple[int, int, int],
    settings: dict[str, Any] | None = None,
    steps: int = 3,
    rate: float = 0.1,
    seed: int = 0,
    **switches: bool,
) -> tuple[Network, MetaParameters]:
    """A network, and parameters of it that differ from fresh ones by a fifth."""
    made = make_space(space, input_shape=input_shape, ways=WAYS, **(settings or {}))
    network = made.network(made.parse(text))
    fresh = initialise([network], steps=steps, rate=rate, seed=seed, **switches)
    generator = torch.Generator().manual_seed(seed)
    moved = {
        name: tensor.detach() * (1 + 0.2 * torch.randn(tensor.shape, generator=generator))
        + 0.02 * torch.rand(tensor.shape, generator=generator)
        for name, tensor in fresh.named()
    }
    return network, MetaParameters.from_named(moved)


def random_support(
    input_shape: tuple[int, int, int], *, shots: int = 1, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Images and their classes."""
    labels = np.repeat(np.arange(WAYS), shots)
    rng = np.random.default_rng(seed)
    return rng.standard_normal((len(labels), *input_shape), np.float32), labels
