"""A network of cells as plain modules for one task, batch-norm folded away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from metanas.spaces.cells.plan import Step
from metanas.spaces.classifier import fold_classifier
from metanas.spaces.network import Statistics, Weights
from metanas.spaces.normalisation import fold_norm
from metanas_agent.layers import (
    AddLayer,
    ConcatLayer,
    HeadLayer,
    LayerSpec,
    OperationLayer,
    Stage,
)


def fold_network(
    steps: Sequence[Step], adapted: Weights, norms: Weights, statistics: Statistics
) -> nn.Module:
    """Modules of one task; see `Network.folded`."""
    modules = [
        _fold(step.layer, step.name, _Parameters(adapted, norms, statistics)) for step in steps
    ]
    return _Steps(modules, [step.reads for step in steps]).eval()


class _Steps(nn.Module):
    """Modules that read maps by number: 0 is the image, n the output of module n - 1."""

    def __init__(self, modules: Sequence[nn.Module], reads: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(modules)
        self._reads = reads

    def forward(self, images: Tensor) -> Tensor:
        maps = [images]
        for step, numbers in zip(self.steps, self._reads, strict=True):
            maps.append(step(*[maps[number] for number in numbers]))
        return maps[-1]


class _Add(nn.Module):
    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return one + other


class _Concat(nn.Module):
    def forward(self, *maps: Tensor) -> Tensor:
        return torch.cat(maps, dim=1)


class _Halves(nn.Module):
    """Two convolutions side by side, the second of which reads the pixels further on."""

    def __init__(self, first: nn.Module, second: nn.Module, shift: tuple[int, int]) -> None:
        super().__init__()
        self.first, self.second = first, second
        self._shift = shift

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self._shift
        return torch.cat([self.first(x), self.second(x[:, :, rows:, columns:])], dim=1)


class _Parameters:
    """What a stage's convolution has after folding."""

    def __init__(self, adapted: Weights, norms: Weights, statistics: Statistics) -> None:
        self.adapted, self._norms, self._statistics = adapted, norms, statistics

    def folded(self, name: str, stage: Stage) -> tuple[Tensor, Tensor | None]:
        """Weight and, where there is a batch-norm, bias."""
        weight = self.adapted[f"{name}.weight"]
        if not stage.norm:
            return weight, None
        return fold_norm(self._norms, name, self._statistics[name], weight)


def _fold(layer: LayerSpec, name: str, parameters: _Parameters) -> nn.Module:
    match layer:
        case OperationLayer():
            stages = (_fold_stage(s, f"{name}.{s.name}", parameters) for s in layer.stages)
            return nn.Sequential(*(module for modules in stages for module in modules))
        case AddLayer():
            return _Add()
        case ConcatLayer():
            return _Concat()
        case HeadLayer():
            return nn.Sequential(*fold_classifier(layer, name, parameters.adapted))
    raise TypeError(f"no cell has a {layer.op} layer")


def _fold_stage(stage: Stage, name: str, parameters: _Parameters) -> Iterator[nn.Module]:
    if stage.relu:
        yield nn.ReLU()
    if stage.kind == "maxpool":
        yield nn.MaxPool2d(stage.kernel, stage.stride, stage.padding)
    elif stage.kind == "avgpool":
        yield nn.AvgPool2d(stage.kernel, stage.stride, stage.padding, count_include_pad=False)
    else:
        weight, bias = parameters.folded(name, stage)
        if stage.kind == "conv":
            yield _convolution(stage, weight, bias)
        else:
            half = len(weight) // 2
            parts = (slice(None, half), slice(half, None))
            first, second = (
                _convolution(stage, weight[part], None if bias is None else bias[part])
                for part in parts
            )
            yield _Halves(first, second, stage.shift)


def _convolution(stage: Stage, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    module = nn.Conv2d(
        stage.input_shape[0],
        len(weight),
        stage.kernel,
        stride=stage.stride,
        padding=stage.padding,
        dilation=stage.dilation,
        groups=stage.groups,
        bias=bias is not None,
    )
    module.weight.data = weight.contiguous()
    if module.bias is not None and bias is not None:
        module.bias.data = bias.contiguous()
    return module
