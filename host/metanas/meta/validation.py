"""Validation while training: how well the network does on the same tasks after every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from metanas.data import EpisodeSampler
from metanas.errors import InvalidSettingsError
from metanas.meta.evaluation import evaluate_loss
from metanas.meta.inner_loop import QueryNorm
from metanas.meta.parameters import MetaParameters
from metanas.parallel import Group
from metanas.spaces import Architecture
from metanas.spaces.network import Network

A = TypeVar("A", bound=Architecture)

_BATCH = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationSettings:
    """How to validate while training.

    Args:
        tasks: validation tasks, the same ones at the end of every epoch. The best epoch's
            parameters are what training gives. 0: no validation, and the last parameters count.
        patience: epochs without improvement that end training; 0: none do.

    Raises:
        InvalidSettingsError: a number is negative, or there is patience but no task.
    """

    tasks: int = 0
    patience: int = 0

    def __post_init__(self) -> None:
        if min(self.tasks, self.patience) < 0:
            raise InvalidSettingsError(
                f"{self.tasks} validation tasks and a patience of {self.patience} epochs make no "
                "sense",
                hint="0 switches either off",
            )
        if self.patience and not self.tasks:
            raise InvalidSettingsError(
                f"without validation tasks a patience of {self.patience} epochs has nothing to "
                "go by",
                hint="ask for validation tasks too",
            )


@dataclass(frozen=True, slots=True)
class Validation(Generic[A]):
    """What to validate, and on what.

    Args:
        architectures: those whose mean counts: one, or a few that stand for a super-network.
        sampler: validation tasks.
        settings: how many, and what they decide.
    """

    architectures: tuple[A, ...]
    sampler: EpisodeSampler
    settings: ValidationSettings


def validate(
    group: Group,
    networks: Sequence[Network],
    parameters: MetaParameters,
    sampler: EpisodeSampler,
    *,
    tasks: int,
    query_norm: QueryNorm,
) -> tuple[float, float]:
    """Mean query loss and accuracy over the sampler's first tasks, the same on every worker.

    Args:
        group: the workers; each takes its share of the tasks, and their number changes nothing.
        networks: each does all the tasks.
        parameters: of these networks at least, outside any graph.
        sampler: validation tasks.
        tasks: number of them.
        query_norm: batch-norm protocol of the query images.
    """
    sizes = [min(_BATCH, tasks - start) for start in range(0, tasks, _BATCH)]
    outcomes = torch.zeros(len(sizes), len(networks), 2, dtype=torch.float64)
    for batch in group.share(len(sizes)):
        episodes = sampler.batch(batch, sizes[batch], device=group.device)
        for place, network in enumerate(networks):
            cut = parameters.cut(network)
            outcome = evaluate_loss(network, cut, episodes, query_norm=query_norm)
            outcomes[batch, place] = torch.tensor(outcome, dtype=torch.float64) * sizes[batch]
    loss, accuracy = (group.sum(outcomes).mean(1).sum(0) / tasks).tolist()
    return loss, accuracy
