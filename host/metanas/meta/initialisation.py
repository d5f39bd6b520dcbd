"""Fresh meta-parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from metanas.meta.parameters import MetaParameters
from metanas.spaces.network import Network, Shapes, Weights


def initialise(
    networks: Sequence[Network],
    *,
    steps: int,
    rate: float,
    seed: int,
    learned_rates: bool = True,
    per_step_norms: bool = True,
    adapted_norms: bool = False,
    running_statistics: bool = False,
) -> MetaParameters:
    """Fresh parameters: Xavier-uniform weights, zero biases, unit scales, equal rates.

    What the outer loop is to learn requires a gradient. See `OuterSettings` for the switches.

    Args:
        networks: one network, or the corners of a super-network: a tensor that several of them
            name gets the largest shape.
        steps: inner steps.
        rate: inner learning rates at the start; a classifier's is divided by the area of its map,
            since a step of a linear layer changes its output in proportion to its inputs.
        seed: of the weights.
        learned_rates: whether the rates are learned.
        per_step_norms: whether batch-norm has a scale and shift for each step.
        adapted_norms: whether batch-norm's scales and shifts are among the adapted tensors.
        running_statistics: whether there are running statistics.
    """
    generator = torch.Generator().manual_seed(seed)
    shapes = _union(network.adapted_shapes for network in networks)
    norm_shapes = _union(network.norm_shapes for network in networks)
    adapted = {name: _fresh(name, shape, generator) for name, shape in shapes.items()}
    norms = {name: _fresh(name, shape, generator) for name, shape in norm_shapes.items()}
    if adapted_norms:
        adapted, norms = adapted | norms, {}
    rates = {
        name: torch.full((steps,), rate / _inputs_a_channel(name, tensor))
        for name, tensor in adapted.items()
    }
    copies = steps if per_step_norms else 1
    parameters = MetaParameters(
        adapted=adapted,
        norms={name: tensor.repeat(copies, 1) for name, tensor in norms.items()},
        rates=rates,
        statistics=_statistics(norm_shapes, steps) if running_statistics else {},
    )
    learned = [parameters.adapted, parameters.norms, *([rates] if learned_rates else [])]
    for group in learned:
        for tensor in group.values():
            tensor.requires_grad_()
    return parameters


def _union(many: Iterable[Shapes]) -> Shapes:
    union: Shapes = {}
    for shapes in many:
        for name, shape in shapes.items():
            union[name] = tuple(map(max, shape, union.get(name, shape)))
    return union


def _fresh(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if name.endswith(".weight"):
        return _xavier(shape, generator)
    return torch.ones(shape) if name.endswith(".scale") else torch.zeros(shape)


def _statistics(norm_shapes: Shapes, steps: int) -> Weights:
    """Mean 0 and variance 1, under the names of the scales' layers."""
    statistics: Weights = {}
    for name, shape in norm_shapes.items():
        layer, _, part = name.rpartition(".")
        if part == "scale":
            statistics[f"{layer}.mean"] = torch.zeros(steps, *shape)
            statistics[f"{layer}.variance"] = torch.ones(steps, *shape)
    return statistics


def _inputs_a_channel(name: str, tensor: Tensor) -> int:
    classifier = name.startswith("head") and tensor.dim() > 1
    return math.prod(tensor.shape[2:]) if classifier else 1


def _xavier(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    area = math.prod(shape[2:])
    bound = math.sqrt(6 / ((shape[0] + shape[1]) * area))
    return (torch.rand(shape, generator=generator) * 2 - 1) * bound
