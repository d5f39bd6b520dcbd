"""Activations and the pooling behind them, as functions and as modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metanas_agent.layers import AddLayer, ConvLayer

ACTIVATION_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "elu": F.elu,
    "selu": F.selu,
    "sigmoid": torch.sigmoid,
    "relu6": F.relu6,
    "leakyrelu": F.leaky_relu,
    "none": lambda x: x,
}

_ACTIVATION_MODULES: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "relu6": nn.ReLU6,
    "leakyrelu": nn.LeakyReLU,
    "none": nn.Identity,
}


def finish(x: Tensor, layer: ConvLayer | AddLayer) -> Tensor:
    """The end of a layer: max-pooling and activation."""
    if layer.pool > 1:
        x = F.max_pool2d(x, layer.pool, ceil_mode=True)
    # Behind the pooling, not before: the same, as activations never fall, on fewer pixels.
    return ACTIVATION_FUNCTIONS[layer.activation](x)


def finishing_modules(layer: ConvLayer | AddLayer) -> Iterator[nn.Module]:
    """What `finish` does, as modules in the order that a device runs them."""
    yield _ACTIVATION_MODULES[layer.activation]()
    if layer.pool > 1:
        yield nn.MaxPool2d(layer.pool, ceil_mode=True)
