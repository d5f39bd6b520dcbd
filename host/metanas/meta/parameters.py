"""MetaParameters: everything that meta-training learns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metanas.errors import CheckpointError
from metanas.spaces.network import Network, Shapes, Weights, cut

_GROUPS = ("adapted", "norms", "rates")


@dataclass(frozen=True, slots=True)
class MetaParameters:
    """The initialisation that the inner loop starts from, and how it proceeds.

    Args:
        adapted: name to tensor, what the inner loop changes.
        norms: name to (steps, channels), batch-norm's scales and shifts of each inner step.
        rates: name of an adapted tensor to (steps,), its inner learning rates
            (MAML++, "learning per-layer per-step learning rates").
    """

    adapted: Weights
    norms: Weights
    rates: Weights

    @property
    def steps(self) -> int:
        """Inner steps that rates and norms exist for."""
        return len(next(iter(self.rates.values())))

    def cut(self, network: Network) -> MetaParameters:
        """The part that one architecture of a super-network uses, as views."""
        norms = {
            name: cut(self.norms[name].T, shape).T for name, shape in network.norm_shapes.items()
        }
        return MetaParameters(
            adapted={
                name: cut(self.adapted[name], shape)
                for name, shape in network.adapted_shapes.items()
            },
            norms=norms,
            rates={name: self.rates[name] for name in network.adapted_shapes},
        )

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor under a name such as `adapted/conv0.weight`, in a fixed order."""
        for group in _GROUPS:
            for name, tensor in getattr(self, group).items():
                yield f"{group}/{name}", tensor

    @classmethod
    def from_named(cls, tensors: dict[str, Tensor]) -> MetaParameters:
        """Read back what `named` gave.

        Raises:
            CheckpointError: a name is of no group, or a group is empty.
        """
        groups: dict[str, Weights] = {group: {} for group in _GROUPS}
        for full_name, tensor in tensors.items():
            group, _, name = full_name.partition("/")
            if group not in groups:
                raise CheckpointError(f"unexpected tensor {full_name!r}")
            groups[group][name] = tensor
        if empty := [group for group, tensors in groups.items() if not tensors]:
            raise CheckpointError(f"no tensors of {', '.join(empty)}")
        return cls(**groups)

    def detached(self) -> MetaParameters:
        """Copies outside any graph."""
        return MetaParameters.from_named(
            {name: tensor.detach().clone() for name, tensor in self.named()}
        )


def initialise(
    networks: Sequence[Network], *, steps: int, rate: float, seed: int
) -> MetaParameters:
    """Fresh parameters: Xavier-uniform weights, zero biases, unit scales, equal rates.

    Args:
        networks: one network, or the corners of a super-network: a tensor that several of them
            name gets the largest shape.
        steps: inner steps.
        rate: inner learning rates at the start; a classifier's is divided by the area of its map,
            since a step of a linear layer changes its output in proportion to its inputs.
        seed: of the weights.
    """
    generator = torch.Generator().manual_seed(seed)
    adapted = {
        name: _xavier(shape, generator) if name.endswith("weight") else torch.zeros(shape)
        for name, shape in _union(network.adapted_shapes for network in networks).items()
    }
    norms = {
        name: (torch.ones if name.endswith("scale") else torch.zeros)((steps, *shape))
        for name, shape in _union(network.norm_shapes for network in networks).items()
    }
    rates = {
        name: torch.full((steps,), rate / _inputs_a_channel(name, tensor))
        for name, tensor in adapted.items()
    }
    parameters = MetaParameters(adapted, norms, rates)
    for _, tensor in parameters.named():
        tensor.requires_grad_()
    return parameters


def _union(many: Iterable[Shapes]) -> Shapes:
    union: Shapes = {}
    for shapes in many:
        for name, shape in shapes.items():
            union[name] = tuple(map(max, shape, union.get(name, shape)))
    return union


def _inputs_a_channel(name: str, tensor: Tensor) -> int:
    classifier = name.startswith("head") and tensor.dim() > 1
    return math.prod(tensor.shape[2:]) if classifier else 1


def _xavier(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    area = math.prod(shape[2:])
    bound = math.sqrt(6 / ((shape[0] + shape[1]) * area))
    return (torch.rand(shape, generator=generator) * 2 - 1) * bound
