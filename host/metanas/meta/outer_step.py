"""One outer step: the meta-gradient over a batch of tasks, and what Adam makes of it."""

from __future__ import annotations

from typing import TypeVar

import torch

from metanas.errors import DivergenceError
from metanas.meta.inner_loop import meta_loss
from metanas.meta.plan import TrainingPlan
from metanas.meta.training_state import TrainingState
from metanas.parallel import Group
from metanas.spaces import Architecture

A = TypeVar("A", bound=Architecture)

LEAST_RATE = 1e-4
"""Learned inner rates are kept above this: a negative one unlearns the support set."""


def outer_step(
    group: Group, plan: TrainingPlan[A], training: TrainingState, architecture: A, step: int
) -> tuple[float, float]:
    """One step of Adam on the mean gradient over all tasks; gives their mean loss and accuracy."""
    tasks = len(group.share(plan.outer.tasks))
    weight = tasks * group.size / plan.outer.tasks  # shares differ where workers do not divide them
    epoch = step // plan.outer.iterations
    network = plan.space.network(architecture)
    training.optimiser.zero_grad(set_to_none=True)
    result = meta_loss(
        network,
        training.parameters.cut(network),
        plan.sampler.batch(step, tasks, rank=group.rank),
        step_weights=plan.outer.step_weights(epoch),
        second_order=plan.outer.second_order(epoch),
        query_norm=plan.query_norm,
    )
    (result.loss * weight).backward()  # type: ignore[no-untyped-call]
    outcome = torch.stack([result.loss.detach(), result.accuracies.mean()]) * weight
    gradients = [tensor.grad for tensor in training.tensors.values() if tensor.grad is not None]
    group.average([outcome, *gradients])
    if not all(bool(tensor.isfinite().all()) for tensor in (outcome, *gradients)):
        raise DivergenceError(
            f"loss or gradient is not finite in outer step {step} (loss {float(outcome[0]):.4g})",
            hint=f"lower the learning rates; {training.files.checkpoint} holds the last good state",
        )
    for options in training.optimiser.param_groups:
        options["lr"] = plan.outer.rate_at(step)
    training.optimiser.step()
    with torch.no_grad():
        for rates in training.parameters.rates.values():
            rates.clamp_(min=LEAST_RATE)
    return float(outcome[0]), float(outcome[1])
