"""The batch-norms of a network, by name: of a batch of tasks, and folded into convolutions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from metanas.spaces.batch_norm import NORM_EPSILON, batch_norm
from metanas.spaces.network import Moments, Statistics, Weights


class Normaliser(NamedTuple):
    """Normalises maps (images, tasks × channels, height, width).

    Args:
        norms: scale and shift of each batch-norm, (channels,) or (tasks, channels).
        tasks: whose maps lie behind each other.
        statistics: normalise with these; None takes those of the maps themselves.
        record: filled with the statistics that were used.
    """

    norms: Weights
    tasks: int
    statistics: Statistics | None
    record: Statistics | None

    def __call__(self, name: str, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """The named batch-norm of a map, and of the bias (tasks, channels) before it."""
        scale, shift = (
            self.norms[f"{name}.{part}"].expand(self.tasks, -1).flatten()
            for part in ("scale", "shift")
        )
        if self.statistics is None and self.record is None:
            return batch_norm(x, scale, shift)  # which takes a bias off again
        if bias is not None:
            x = x + bias.reshape(-1, 1, 1)
        moments = self.statistics[name] if self.statistics else _moments(x, self.tasks)
        if self.record is not None:
            self.record[name] = moments
        return _normalise(x, scale, shift, moments)


def fold_norm(
    norms: Weights, name: str, moments: Moments, weight: Tensor, bias: Tensor | float = 0.0
) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that does what the named batch-norm does behind it too."""
    gain = norms[f"{name}.scale"] * torch.rsqrt(moments.variance + NORM_EPSILON)
    return weight * gain.view(-1, 1, 1, 1), (bias - moments.mean) * gain + norms[f"{name}.shift"]


def _moments(x: Tensor, tasks: int) -> Moments:
    mean = x.mean((0, 2, 3))  # var_mean takes twenty times as long
    variance = (x - mean.view(-1, 1, 1)).square().mean((0, 2, 3))
    return Moments(mean.view(tasks, -1), variance.view(tasks, -1))


def _normalise(x: Tensor, scale: Tensor, shift: Tensor, moments: Moments) -> Tensor:
    gain = scale * torch.rsqrt(moments.variance.flatten() + NORM_EPSILON)
    offset = shift - moments.mean.flatten() * gain
    return x * gain.view(-1, 1, 1) + offset.view(-1, 1, 1)
