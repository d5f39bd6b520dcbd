"""Batch-norm's running statistics of each inner step (MAML++, section 4, "BNRS")."""

from __future__ import annotations

from torch import Tensor

from metanas.errors import InvalidSettingsError
from metanas.meta.parameters import MetaParameters
from metanas.spaces.network import Moments, Statistics

Means = dict[tuple[str, int], Tensor]
"""Name of `MetaParameters.statistics` and inner step to a value a channel."""

MOMENTUM = 0.1
"""How far an outer step moves the running statistics to its own, as in MAML++'s code."""


def running_at(parameters: MetaParameters, step: int, *, tasks: int) -> Statistics:
    """The running statistics of an inner step, the same for each task.

    Raises:
        InvalidSettingsError: the parameters keep none.
    """
    kept = parameters.statistics
    if not kept:
        raise InvalidSettingsError(
            "these parameters keep no running statistics of batch-norm",
            hint="train with running_statistics, or choose another protocol for the query images",
        )
    at_step = {name: tensor[step].expand(tasks, -1) for name, tensor in kept.items()}
    layers = [name.removesuffix(".mean") for name in kept if name.endswith(".mean")]
    return {
        layer: Moments(at_step[f"{layer}.mean"], at_step[f"{layer}.variance"]) for layer in layers
    }


def task_means(statistics: dict[int, Statistics]) -> Means:
    """Means over the tasks, of what each inner step's query images gave."""
    return {
        (f"{layer}.{part}", step): values.mean(0)
        for step, layers in statistics.items()
        for layer, moments in layers.items()
        for part, values in moments._asdict().items()
    }


def follow(parameters: MetaParameters, means: Means) -> None:
    """Move the running statistics to an outer step's; those of other inner steps stay."""
    for (name, step), mean in means.items():
        parameters.statistics[name][step].lerp_(mean, MOMENTUM)
