"""Networks of the search spaces with random weights, as if trained; their cards and their tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from metanas.deploy import AdaptedNetwork, ModelCard
from metanas.spaces import VGG9Space
from metanas.spaces.network import Moments, Statistics
from metanas.spaces.space import SearchSpace

WAYS = 5
INPUT_SHAPE = (1, 28, 28)
ARCHITECTURE = "k3c16relu-k5c16relu6-k1c32selu-k3c16leakyrelu"


def random_network(space: SearchSpace[Any], text: str, *, seed: int = 0) -> nn.Module:
    """One architecture, folded; its norms' statistics are those of random images."""
    network = space.network(space.parse(text))
    generator = torch.Generator().manual_seed(seed)

    def draw(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * 0.2

    adapted = {name: draw(shape) for name, shape in network.adapted_shapes.items()}
    norms = {name: 1 + draw(shape) for name, shape in network.norm_shapes.items()}
    images = torch.randn((1, 10, *space.input_shape), generator=generator)
    recorded: Statistics = {}
    network({name: t[None] for name, t in adapted.items()}, norms, images, record=recorded)
    statistics = {name: Moments(m.mean[0], m.variance[0]) for name, m in recorded.items()}
    return network.folded(adapted, norms, statistics)


def random_vgg9(
    text: str = ARCHITECTURE,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = INPUT_SHAPE,
    **settings: str | int | bool,
) -> nn.Module:
    space = VGG9Space(input_shape=input_shape, ways=WAYS, **settings)  # type: ignore[arg-type]
    return random_network(space, text, seed=seed)


def make_card(text: str = ARCHITECTURE, channels: int = 1) -> ModelCard:
    return ModelCard(
        architecture=text,
        dataset="glyphs",
        labels=tuple("ABCDÉ"),
        mean=(0.1,) * channels,
        std=(0.3,) * channels,
        seed=7,
    )


def make_adapted(module: nn.Module, model: bytes, seed: int) -> AdaptedNetwork:
    """A random task, and what the module makes of its images."""
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((8, *INPUT_SHAPE), np.float32)
    with torch.no_grad():
        logits = module(torch.from_numpy(images)).numpy()
    labels = rng.integers(0, WAYS, len(images))
    return AdaptedNetwork(model=model, images=images, labels=labels, host_logits=logits)
