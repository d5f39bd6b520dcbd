"""The inner loop: a task's support set changes the weights by a few gradient steps (MAML)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from metanas.data import Episodes
from metanas.meta.parameters import MetaParameters
from metanas.meta.running_statistics import running_at
from metanas.spaces.network import Network, Statistics, Weights

QueryNorm = Literal["transductive", "deployed", "running"]
"""Where the query images' batch-norm statistics come from.

`transductive` is the papers' protocol: the query images are normalised together, by their own
statistics. `deployed` is what a board does: it sees one image at a time, so the statistics are
those of the support set under the adapted weights. `running` serves a board too: the statistics
are the running ones of the inner step, which training has kept.
"""


@dataclass(frozen=True, slots=True)
class MetaLoss:
    """What a batch of tasks gave.

    Args:
        loss: scalar, mean over the tasks; its gradient is the meta-gradient.
        losses: (tasks,), detached, of the last inner step.
        accuracies: (tasks,), share of query images classified rightly after the last inner step.
        statistics: inner step to the query images' own statistics, where running ones are kept.
    """

    loss: Tensor
    losses: Tensor
    accuracies: Tensor
    statistics: dict[int, Statistics] = field(default_factory=dict)


def inner_loop(
    network: Network,
    parameters: MetaParameters,
    images: Tensor,
    labels: Tensor,
    *,
    second_order: bool,
) -> Iterator[Weights]:
    """Adapt to each task's support set, yielding the weights after every step.

    Args:
        network: the architecture.
        parameters: of exactly this network.
        images: support images, (tasks, images, channels, height, width).
        labels: (tasks, images).
        second_order: keep the graph of the steps, so that the outer gradient flows through them.

    Yields:
        The adapted tensors, each with the task as first dimension.
    """
    tasks, count = labels.shape
    weights = {
        name: tensor.expand(tasks, *tensor.shape) for name, tensor in parameters.adapted.items()
    }
    rates = {name: steps.unbind() for name, steps in parameters.rates.items()}
    for step in range(parameters.steps):
        leaves = weights if second_order else _detached(weights)
        logits = network(leaves, norms_at(parameters, step), images)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / count
        gradients = torch.autograd.grad(
            loss, list(leaves.values()), create_graph=second_order, allow_unused=True
        )
        weights = weights | {
            name: weights[name] - rates[name][step] * gradient
            for name, gradient in zip(leaves, gradients, strict=True)
            if gradient is not None  # of a bias that batch-norm takes off again
        }
        yield weights


def meta_loss(
    network: Network,
    parameters: MetaParameters,
    episodes: Episodes,
    *,
    step_weights: Sequence[float],
    second_order: bool = True,
    query_norm: QueryNorm = "transductive",
) -> MetaLoss:
    """The query loss behind the inner loop: what the outer loop minimises.

    Args:
        network: the architecture.
        parameters: of exactly this network.
        episodes: a batch of tasks.
        step_weights: weight of the query loss after each inner step (MAML++'s multi-step loss);
            MAML itself weighs the last one alone.
        second_order: differentiate through the inner steps; otherwise first-order MAML.
        query_norm: the batch-norm protocol of the query images.
    """
    total = torch.zeros(())
    statistics: dict[int, Statistics] = {}
    adapted = inner_loop(
        network,
        parameters,
        episodes.support_images,
        episodes.support_labels,
        second_order=second_order,
    )
    for step, weights in enumerate(adapted):
        if step_weights[step]:
            logits = query_logits(
                network, parameters, weights, episodes, step=step, query_norm=query_norm
            )
            losses = task_losses(logits, episodes.query_labels)
            total = total + step_weights[step] * losses.mean()
            if parameters.statistics:
                statistics[step] = query_statistics(network, parameters, weights, episodes, step)
    accuracies = task_accuracies(logits, episodes.query_labels)
    return MetaLoss(total, losses.detach(), accuracies, statistics)


def query_logits(
    network: Network,
    parameters: MetaParameters,
    weights: Weights,
    episodes: Episodes,
    *,
    step: int,
    query_norm: QueryNorm,
) -> Tensor:
    """Logits of the query images under adapted weights, (tasks, images, ways).

    Raises:
        InvalidSettingsError: `query_norm` is "running", and the parameters keep no such statistics.
    """
    norms = norms_at(parameters, step)
    statistics = None
    if query_norm == "deployed":
        statistics = support_statistics(network, weights, norms, episodes.support_images)
    elif query_norm == "running":
        statistics = running_at(parameters, step, tasks=len(episodes))
    return network(weights, norms, episodes.query_images, statistics=statistics)


@torch.no_grad()
def query_statistics(
    network: Network, parameters: MetaParameters, weights: Weights, episodes: Episodes, step: int
) -> Statistics:
    """What the query images would be normalised by in the transductive protocol.

    A pass of its own: recording in the one that is differentiated would make that one slower.
    """
    norms = norms_at(parameters, step)
    return support_statistics(network, weights, norms, episodes.query_images)


def support_statistics(
    network: Network, weights: Weights, norms: Weights, images: Tensor
) -> Statistics:
    """Batch-norm statistics of each task's support set under its adapted weights."""
    statistics: Statistics = {}
    network(weights, norms, images, record=statistics)
    return statistics


def norms_at(parameters: MetaParameters, step: int) -> Weights:
    """Batch-norm's scales and shifts of one inner step, (channels,); empty if they are adapted."""
    return {name: tensor[step % len(tensor)] for name, tensor in parameters.norms.items()}


def task_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of each task's images, (tasks,)."""
    losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return losses.view_as(labels).mean(1)


def task_accuracies(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of each task's images classified rightly, (tasks,)."""
    right = logits.detach().argmax(-1) == labels
    return right.float().mean(1)


def _detached(weights: Weights) -> Weights:
    return {name: tensor.detach().requires_grad_() for name, tensor in weights.items()}
