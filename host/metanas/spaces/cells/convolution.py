"""The convolutions of a stage for many tasks at once, differentiable twice."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from metanas.spaces.convolution import convolve
from metanas_agent.layers import Stage


def convolve_stage(x: Tensor, weight: Tensor, stage: Stage, *, tasks: int) -> Tensor:
    """What a stage of convolutions makes of a map.

    Args:
        x: (images, tasks × channels in, height, width).
        weight: (tasks, *stage.weight_shape).
        stage: a `conv`, or `halves`.
        tasks: whose maps lie behind each other.
    """
    if stage.kind == "halves":
        return _halves(x, weight, stage, tasks)
    groups = tasks * stage.groups
    weight = weight.flatten(0, 1)
    if stage.dilation > 1:
        return _dilated(x, weight, stride=stage.stride, groups=groups)
    return convolve(x, weight, stride=stage.stride, groups=groups)


def _dilated(x: Tensor, weight: Tensor, *, stride: int, groups: int) -> Tensor:
    """Dilation 2: every second pixel meets every second one only, so they are maps of their own."""
    if stride == 2:  # the other maps are left out
        return convolve(x[..., ::2, ::2], weight, stride=1, groups=groups)
    images, channels, height, width = x.shape
    padded = F.pad(x, (0, width % 2, 0, height % 2))
    rows, columns = padded.shape[2] // 2, padded.shape[3] // 2
    split = padded.reshape(images, channels, rows, 2, columns, 2).permute(3, 5, 0, 1, 2, 4)
    y = convolve(split.flatten(0, 2), weight, stride=1, groups=groups)
    joined = y.reshape(2, 2, images, -1, rows, columns).permute(2, 3, 4, 0, 5, 1)
    return joined.flatten(4, 5).flatten(2, 3)[..., :height, :width]


def _halves(x: Tensor, weight: Tensor, stage: Stage, tasks: int) -> Tensor:
    rows, columns = stage.shift
    out = stage.output_shape[0]
    first, second = torch.split(weight, [out // 2, out - out // 2], dim=1)
    halves = [
        convolve(part, kernel.flatten(0, 1), stride=2, groups=tasks)
        for part, kernel in ((x, first), (x[..., rows:, columns:], second))
    ]
    return concatenate(halves, tasks=tasks)


def concatenate(maps: Sequence[Tensor], *, tasks: int) -> Tensor:
    """Each task's channels of all maps behind each other; maps as in `convolve_stage`."""
    return torch.cat([x.reshape(len(x), tasks, -1, *x.shape[2:]) for x in maps], 2).flatten(1, 2)
