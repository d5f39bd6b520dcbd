"""The inner loop for one task as one writes it in torch: conv2d, batch_norm, autograd."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metanas.deploy.adaptation_graph.structure import IMAGES, Concat, Crop, Node, Sum
from metanas.meta import MetaParameters, norms_at


def eager(
    nodes: Sequence[Node], parameters: MetaParameters, images: Tensor, labels: Tensor
) -> Mapping[str, Tensor]:
    """The adapted weights.

    Args:
        nodes: the network.
        parameters: of exactly this network.
        images: (images, channels, height, width).
        labels: (images,).
    """
    weights = {n: t.detach().clone().requires_grad_() for n, t in parameters.adapted.items()}
    for step in range(parameters.steps):
        logits = _logits(nodes, norms_at(parameters, step) | weights, images)
        loss = F.cross_entropy(logits, labels)
        gradients = torch.autograd.grad(loss, list(weights.values()))
        weights = {
            name: (weight - parameters.rates[name][step] * gradient).detach().requires_grad_()
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }
    return weights


def _logits(nodes: Sequence[Node], tensors: Mapping[str, Tensor], images: Tensor) -> Tensor:
    maps = {IMAGES: images}
    for node in nodes:
        inputs = [maps[name] for name in node.inputs]
        maps[node.name] = _layer(node, lambda part, of=node: _part(tensors, of, part), *inputs)
    return maps[nodes[-1].name]


def _part(tensors: Mapping[str, Tensor], node: Node, part: str) -> Tensor | None:
    tensor = tensors.get(f"{node.parameters}.{part}")
    if tensor is None or node.filters == slice(0, len(tensor)):
        return tensor  # whose gradient needs no map of zeros around it
    return tensor[node.filters]


def _layer(node: Node, tensor: Callable[[str], Tensor | None], *inputs: Tensor) -> Tensor:
    match node.layer:
        case nn.Conv2d() as conv:
            how = (conv.stride, conv.padding, conv.dilation, conv.groups)
            x = F.conv2d(*inputs, tensor("weight"), tensor("bias"), *how)
            scale, shift = tensor("scale"), tensor("shift")
            return x if scale is None else F.batch_norm(x, None, None, scale, shift, training=True)
        case nn.Linear():
            return F.linear(*inputs, tensor("weight").flatten(1), tensor("bias"))
        case Sum():
            return inputs[0] + inputs[1]
        case Concat():
            return torch.cat(inputs, dim=1)
        case Crop(rows, columns):
            (x,) = inputs
            return x[..., rows:, columns:]
        case layer:
            return layer(*inputs)
