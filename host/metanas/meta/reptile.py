"""Reptile (Nichol et al. 2018): the initialisation moves to where the inner loop ends."""

from __future__ import annotations

import torch

from metanas.data import Episodes
from metanas.meta.evaluation import adapted_weights
from metanas.meta.inner_loop import (
    MetaLoss,
    QueryNorm,
    query_logits,
    query_statistics,
    task_accuracies,
    task_losses,
)
from metanas.meta.parameters import MetaParameters
from metanas.spaces.network import Network


def reptile_loss(
    network: Network,
    parameters: MetaParameters,
    episodes: Episodes,
    *,
    query_norm: QueryNorm = "transductive",
) -> MetaLoss:
    """The query loss, whose gradient is here the initial minus the adapted weights.

    The gradient is a mean over the tasks and comes from the support sets alone; the query images
    serve to see how well it goes.
    """
    weights = adapted_weights(network, parameters, episodes.support_images, episodes.support_labels)
    step = parameters.steps - 1
    with torch.no_grad():
        logits = query_logits(
            network, parameters, weights, episodes, step=step, query_norm=query_norm
        )
    losses = task_losses(logits, episodes.query_labels)
    # A number whose gradient is Reptile's, so that it reaches a super-network through `cut`.
    pull = torch.stack(
        [
            (tensor * (tensor - weights[name].mean(0)).detach()).sum()
            for name, tensor in parameters.adapted.items()
        ]
    ).sum()
    statistics = {}
    if parameters.statistics:
        statistics[step] = query_statistics(network, parameters, weights, episodes, step)
    return MetaLoss(
        losses.mean() + (pull - pull.detach()),
        losses,
        task_accuracies(logits, episodes.query_labels),
        statistics,
    )
