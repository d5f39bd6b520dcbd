"""A network that is a chain of layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metanas.spaces.network import Moments, Shapes, Statistics, Weights
from metanas_agent.layers import ConvLayer, HeadLayer, LayerSpec

NORM_EPSILON = 1e-5

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


class SequentialNetwork:
    """Convolution layers, then a head.

    The tasks ride in the channel dimension: images are laid out (images, tasks × channels, height,
    width), a convolution with one group a task applies each task's own kernel, and batch-norm over
    that layout is batch-norm a task and channel. So every operation is a plain one.

    Args:
        layers: `ConvLayer`s, then one `HeadLayer`.
    """

    def __init__(self, layers: Sequence[LayerSpec]) -> None:
        *convs, head = layers
        if not isinstance(head, HeadLayer) or not all(isinstance(c, ConvLayer) for c in convs):
            raise TypeError("a sequential network is convolution layers, then a head")
        self.head = head
        self.convs: dict[str, ConvLayer] = {
            f"conv{i}": conv for i, conv in enumerate(convs) if isinstance(conv, ConvLayer)
        }
        self.head_name = f"head{len(convs)}"

    @property
    def adapted_shapes(self) -> Shapes:
        """Weight and bias of each convolution and of the classifier of this depth."""
        shapes: Shapes = {}
        for name, conv in self.convs.items():
            kernel = (conv.kernel, conv.kernel)
            shapes[f"{name}.weight"] = (conv.out_channels, conv.in_channels, *kernel)
            shapes[f"{name}.bias"] = (conv.out_channels,)
        side = self.head.pool
        shapes[f"{self.head_name}.weight"] = (self.head.ways, self.head.in_channels, side, side)
        shapes[f"{self.head_name}.bias"] = (self.head.ways,)
        return shapes

    @property
    def norm_shapes(self) -> Shapes:
        """Scale and shift of each convolution's batch-norm."""
        return {
            f"{name}.{part}": (conv.out_channels,)
            for name, conv in self.convs.items()
            for part in ("scale", "shift")
        }

    def __call__(
        self,
        adapted: Weights,
        norms: Weights,
        images: Tensor,
        *,
        statistics: Statistics | None = None,
        record: Statistics | None = None,
    ) -> Tensor:
        """Logits (tasks, images, ways); see `Network`."""
        tasks, count = images.shape[:2]
        x = images.transpose(0, 1).flatten(1, 2)
        for name, conv in self.convs.items():
            x = F.conv2d(
                x,
                adapted[f"{name}.weight"].flatten(0, 1),
                adapted[f"{name}.bias"].flatten(),
                stride=conv.stride,
                padding=conv.kernel // 2,
                groups=tasks,
            )
            moments = statistics[name] if statistics else None
            if record is not None:
                moments = moments or _moments(x, tasks)
                record[name] = moments
            x = _normalise(x, norms[f"{name}.scale"], norms[f"{name}.shift"], moments, tasks)
            if conv.pool > 1:
                x = F.max_pool2d(x, conv.pool, ceil_mode=True)
            # Behind the pooling, not before: the same, as activations never fall, on fewer pixels.
            x = ACTIVATION_FUNCTIONS[conv.activation](x)
        if self.head.pool_window != (1, 1):
            x = F.avg_pool2d(x, self.head.pool_window, self.head.pool_stride)
        features = x.reshape(count, tasks, -1).transpose(0, 1)
        weight = adapted[f"{self.head_name}.weight"].flatten(2)
        bias = adapted[f"{self.head_name}.bias"]
        return torch.baddbmm(bias.unsqueeze(1), features, weight.transpose(1, 2))

    def folded(self, adapted: Weights, norms: Weights, statistics: Statistics) -> nn.Module:
        """Convolution, activation and pooling modules, batch-norm folded into the convolution."""
        modules: list[nn.Module] = []
        for name, conv in self.convs.items():
            gain = norms[f"{name}.scale"] * torch.rsqrt(statistics[name].variance + NORM_EPSILON)
            offset = adapted[f"{name}.bias"] - statistics[name].mean
            convolution = nn.Conv2d(
                conv.in_channels,
                conv.out_channels,
                conv.kernel,
                stride=conv.stride,
                padding=conv.kernel // 2,
            )
            assert convolution.bias is not None
            convolution.weight.data = adapted[f"{name}.weight"] * gain.view(-1, 1, 1, 1)
            convolution.bias.data = offset * gain + norms[f"{name}.shift"]
            modules += [convolution, _ACTIVATION_MODULES[conv.activation]()]
            if conv.pool > 1:
                modules.append(nn.MaxPool2d(conv.pool, ceil_mode=True))
        if self.head.pool_window != (1, 1):
            modules.append(nn.AvgPool2d(self.head.pool_window, self.head.pool_stride))
        classifier = nn.Linear(self.head.features, self.head.ways)
        classifier.weight.data = adapted[f"{self.head_name}.weight"].flatten(1)
        classifier.bias.data = adapted[f"{self.head_name}.bias"]
        return nn.Sequential(*modules, nn.Flatten(), classifier).eval()


def _moments(x: Tensor, tasks: int) -> Moments:
    variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
    return Moments(mean.view(tasks, -1), variance.view(tasks, -1))


def _normalise(
    x: Tensor, scale: Tensor, shift: Tensor, moments: Moments | None, tasks: int
) -> Tensor:
    scale, shift = scale.repeat(tasks), shift.repeat(tasks)
    if moments is None:
        return F.batch_norm(x, None, None, scale, shift, training=True, eps=NORM_EPSILON)
    gain = scale * torch.rsqrt(moments.variance.flatten() + NORM_EPSILON)
    offset = shift - moments.mean.flatten() * gain
    return x * gain.view(-1, 1, 1) + offset.view(-1, 1, 1)
