"""MetaParameters: everything that meta-training learns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from metanas.errors import CheckpointError
from metanas.spaces.network import Network, Weights, cut

_GROUPS = ("adapted", "norms", "rates", "statistics")


@dataclass(frozen=True, slots=True)
class MetaParameters:
    """The initialisation that the inner loop starts from, and how it proceeds.

    Args:
        adapted: name to tensor, what the inner loop changes.
        norms: name to (steps, channels), batch-norm's scales and shifts of each inner step, or to
            (1, channels), those of all steps; empty where they are in `adapted`.
        rates: name of an adapted tensor to (steps,), its inner learning rates
            (MAML++, "learning per-layer per-step learning rates").
        statistics: name such as `conv0.mean` to (steps, channels), batch-norm's running statistics
            over the query images, out of the optimiser's reach; empty where none are kept.
    """

    adapted: Weights
    norms: Weights
    rates: Weights
    statistics: Weights = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Inner steps that rates and norms exist for."""
        return len(next(iter(self.rates.values())))

    def cut(self, network: Network) -> MetaParameters:
        """The part that one architecture of a super-network uses, as views."""
        adapted, norms = network.adapted_shapes, network.norm_shapes
        if not self.norms:
            adapted, norms = adapted | norms, {}
        return MetaParameters(
            adapted={name: cut(self.adapted[name], shape) for name, shape in adapted.items()},
            norms={name: cut(self.norms[name].T, shape).T for name, shape in norms.items()},
            rates={name: self.rates[name] for name in adapted},
            statistics=self.statistics,  # of one network, so all of them
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
            CheckpointError: a name is of no group, or a group that must not be empty is.
        """
        groups: dict[str, Weights] = {group: {} for group in _GROUPS}
        for full_name, tensor in tensors.items():
            group, _, name = full_name.partition("/")
            if group not in groups:
                raise CheckpointError(f"unexpected tensor {full_name!r}")
            groups[group][name] = tensor
        held = {"statistics"} | {group for group, tensors in groups.items() if tensors}
        if any(name.endswith(".scale") for name in groups["adapted"]):
            held.add("norms")
        if empty := [group for group in _GROUPS if group not in held]:
            raise CheckpointError(f"no tensors of {', '.join(empty)}")
        return cls(**groups)

    def to(self, device: torch.device) -> MetaParameters:
        """The same values on a device, outside any graph."""
        return MetaParameters.from_named(
            {name: tensor.detach().to(device) for name, tensor in self.named()}
        )

    def detached(self) -> MetaParameters:
        """Copies outside any graph."""
        return MetaParameters.from_named(
            {name: tensor.detach().clone() for name, tensor in self.named()}
        )
