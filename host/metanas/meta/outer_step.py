"""One outer step: the meta-gradient over a batch of tasks, and what Adam makes of it."""

from __future__ import annotations

from typing import TypeVar

import torch

from metanas.data import Episodes
from metanas.meta.inner_loop import MetaLoss, meta_loss
from metanas.meta.parameters import MetaParameters
from metanas.meta.plan import TrainingPlan
from metanas.meta.reptile import reptile_loss
from metanas.meta.running_statistics import Means, follow, task_means
from metanas.meta.task_parts import task_parts
from metanas.meta.training_state import TrainingState
from metanas.parallel import Group
from metanas.spaces import Architecture
from metanas.spaces.network import Network

A = TypeVar("A", bound=Architecture)

LEAST_RATE = 1e-4
"""Learned inner rates are kept above this: a negative one unlearns the support set."""


def outer_step(
    group: Group, plan: TrainingPlan[A], training: TrainingState, architecture: A, step: int
) -> tuple[float, float]:
    """One step of Adam on the mean gradient over all tasks; gives their mean loss and accuracy."""
    tasks = len(group.share(plan.outer.tasks))
    network = plan.space.network(architecture)
    training.optimiser.zero_grad(set_to_none=True)
    outcomes = []
    means: Means = {}
    batch = plan.sampler.batch(step, tasks, device=group.device, rank=group.rank)
    for part in task_parts(batch):
        # The workers are averaged over, and their shares differ where they do not divide the tasks.
        weight = len(part) * group.size / plan.outer.tasks
        parameters = training.parameters.cut(network)
        result = _loss(plan, network, parameters, part, epoch=step // plan.outer.iterations)
        (result.loss * weight).backward()  # type: ignore[no-untyped-call]
        outcomes.append(torch.stack([result.loss.detach(), result.accuracies.mean()]) * weight)
        for key, mean in task_means(result.statistics).items():
            means[key] = means.get(key, 0) + mean * weight
    outcome = torch.stack(outcomes).sum(0)
    gradients = [tensor.grad for tensor in training.tensors.values() if tensor.grad is not None]
    averaged = [outcome, *gradients, *means.values()]
    group.average(averaged)
    if not all(bool(tensor.isfinite().all()) for tensor in averaged):
        raise training.diverged(
            f"loss or gradient is not finite in outer step {step} (loss {float(outcome[0]):.4g})"
        )
    for options in training.optimiser.param_groups:
        options["lr"] = plan.outer.rate_at(step)
    training.optimiser.step()
    follow(training.parameters, means)
    if plan.outer.learned_rates:
        with torch.no_grad():
            for rates in training.parameters.rates.values():
                rates.clamp_(min=LEAST_RATE)
    return float(outcome[0]), float(outcome[1])


def _loss(
    plan: TrainingPlan[A],
    network: Network,
    parameters: MetaParameters,
    episodes: Episodes,
    *,
    epoch: int,
) -> MetaLoss:
    outer, query_norm = plan.outer, plan.query_norm
    if outer.outer_update == "reptile":
        return reptile_loss(network, parameters, episodes, query_norm=query_norm)
    return meta_loss(
        network,
        parameters,
        episodes,
        step_weights=outer.step_weights(epoch),
        second_order=outer.second_order(epoch),
        query_norm=query_norm,
    )
