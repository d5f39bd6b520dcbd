"""The end of every network: average-pooling, then the linear classifier."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metanas.spaces.network import Shapes, Weights
from metanas_agent.layers import HeadLayer


def classifier_shapes(name: str, head: HeadLayer) -> Shapes:
    """Of weight and bias; the weight is a convolution's, over the whole pooled map."""
    return {
        f"{name}.weight": (head.ways, head.in_channels, head.pool, head.pool),
        f"{name}.bias": (head.ways,),
    }


def classify(x: Tensor, head: HeadLayer, name: str, adapted: Weights) -> Tensor:
    """Logits (tasks, images, ways) of maps (images, tasks × channels, height, width)."""
    weight, bias = adapted[f"{name}.weight"].flatten(2), adapted[f"{name}.bias"]
    if head.pool_window != (1, 1):
        x = F.avg_pool2d(x, head.pool_window, head.pool_stride)
    features = x.reshape(len(x), len(weight), -1).transpose(0, 1)
    return torch.baddbmm(bias.unsqueeze(1), features, weight.transpose(1, 2))


def fold_classifier(head: HeadLayer, name: str, adapted: Weights) -> Iterator[nn.Module]:
    """What `classify` does, as modules for one task."""
    if head.pool_window != (1, 1):
        yield nn.AvgPool2d(head.pool_window, head.pool_stride)
    yield nn.Flatten()
    classifier = nn.Linear(head.features, head.ways)
    classifier.weight.data = adapted[f"{name}.weight"].flatten(1)
    classifier.bias.data = adapted[f"{name}.bias"]
    yield classifier
