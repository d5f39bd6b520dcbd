"""Few-shot accuracy over many test episodes, with its interval, in both batch-norm protocols."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metanas.data import Episodes, EpisodeSampler
from metanas.meta.inner_loop import QueryNorm, inner_loop, meta_loss, query_logits
from metanas.meta.parameters import MetaParameters
from metanas.meta.task_parts import task_parts
from metanas.parallel import Group
from metanas.spaces.network import Network, Weights

_Z_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Mean over episodes.

    Args:
        accuracy: share of query images classified rightly, 0 to 1.
        interval: half width of the 95% confidence interval of the mean.
        episodes: number of episodes.
    """

    accuracy: float
    interval: float
    episodes: int

    @classmethod
    def of(cls, accuracies: Tensor) -> Accuracy:
        """From the accuracy of each episode."""
        count = len(accuracies)
        spread = float(accuracies.std()) if count > 1 else math.nan
        return cls(float(accuracies.mean()), _Z_95 * spread / math.sqrt(count), count)


def query_norms(parameters: MetaParameters) -> tuple[QueryNorm, ...]:
    """The protocols that the parameters can be evaluated in."""
    always: tuple[QueryNorm, ...] = ("deployed", "transductive")
    return (*always, "running") if parameters.statistics else always


def adapted_weights(
    network: Network, parameters: MetaParameters, images: Tensor, labels: Tensor
) -> Weights:
    """The weights behind the last inner step, outside any graph; see `inner_loop`."""
    *_, weights = inner_loop(network, parameters, images, labels, second_order=False)
    return {name: tensor.detach() for name, tensor in weights.items()}


def evaluate_loss(
    network: Network, parameters: MetaParameters, episodes: Episodes, *, query_norm: QueryNorm
) -> tuple[float, float]:
    """Mean query loss and accuracy after adapting to each task: what a search ranks by."""
    results = [
        meta_loss(
            network,
            parameters,
            part,
            step_weights=[0.0] * (parameters.steps - 1) + [1.0],
            second_order=False,
            query_norm=query_norm,
        )
        for part in task_parts(episodes)
    ]
    losses = torch.cat([result.losses for result in results])
    accuracies = torch.cat([result.accuracies for result in results])
    return float(losses.mean()), float(accuracies.mean())


def evaluate(
    group: Group,
    network: Network,
    parameters: MetaParameters,
    sampler: EpisodeSampler,
    *,
    episodes: int,
    batch: int = 20,
    observer: Callable[[int], None] | None = None,
) -> dict[QueryNorm, Accuracy]:
    """Adapt to each episode and classify its query images, in each of `query_norms`.

    Args:
        group: the workers; each takes its share of the batches.
        network: the architecture.
        parameters: of exactly this network, outside any graph, on any device.
        sampler: test tasks.
        episodes: number of them, rounded up to whole batches.
        batch: episodes drawn at once.
        observer: called with the number of episodes done, in the leading process.
    """
    parameters = parameters.to(group.device)
    batches = math.ceil(episodes / batch)
    norms = query_norms(parameters)
    accuracies = torch.zeros(len(norms), batches, batch)
    for index in group.share(batches):
        rights = [
            _classified_rightly(network, parameters, part, norms)
            for part in task_parts(sampler.batch(index, batch, device=group.device))
        ]
        accuracies[:, index] = torch.cat(rights, dim=1).cpu()
        if observer:
            observer((index + 1) * batch)
    group.sum(accuracies)
    if observer:
        observer(batches * batch)
    return {norm: Accuracy.of(row.flatten()) for norm, row in zip(norms, accuracies, strict=True)}


def _classified_rightly(
    network: Network, parameters: MetaParameters, episodes: Episodes, norms: Sequence[QueryNorm]
) -> Tensor:
    """Accuracy of each task in each protocol, (norms, tasks)."""
    weights = adapted_weights(network, parameters, episodes.support_images, episodes.support_labels)
    step = parameters.steps - 1
    with torch.no_grad():
        logits = [
            query_logits(network, parameters, weights, episodes, step=step, query_norm=norm)
            for norm in norms
        ]
    right = torch.stack(logits).argmax(-1) == episodes.query_labels
    return right.float().mean(-1)
