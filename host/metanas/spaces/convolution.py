"""Convolution whose derivatives of every order are the library's forward and backward kernels.

A convolution is linear in the map and in the kernel, so it, its gradient by the map and its
gradient by the kernel are each other's derivatives: the three functions below need nothing else.
PyTorch's own second derivative is a convolution whose kernel is a map, which is slow on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Size, Tensor
from torch.autograd import Function
from torch.nn import functional as F

Gradients = tuple[Tensor | None, ...]


class _How(NamedTuple):
    stride: int
    padding: int
    groups: int


def convolve(x: Tensor, weight: Tensor, *, stride: int, groups: int) -> Tensor:
    """Convolution with "same" padding, differentiable any number of times.

    Args:
        x: (images, groups × channels in, height, width).
        weight: (groups × channels out, channels in, kernel, kernel), the kernel odd.
        stride: of both sides.
        groups: of channels.
    """
    kernel = weight.shape[-1]
    if kernel == 1 and stride > 1:  # oneDNN's gradient of this, channels-last, corrupts the heap
        x, stride = x[..., ::stride, ::stride], 1
    return _convolution(channels_last(x), weight, _How(stride, kernel // 2, groups))


def channels_last(x: Tensor) -> Tensor:
    """The same map in the layout that a CPU is fastest with; on other devices as it is.

    Strided gradients take a fifth of the time in it, max-pooling a twentieth, batch-norm a quarter.
    """
    if x.device.type != "cpu":
        return x
    if x.stride(1) == 1 and x.is_contiguous(memory_format=torch.channels_last):
        return x
    return x.clone(memory_format=torch.channels_last)  # `contiguous` leaves one channel as it is


class _Convolution(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, how: _How) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = how
        return F.conv2d(x, weight, None, how.stride, how.padding, groups=how.groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        x, weight = ctx.saved_tensors
        gradient = channels_last(gradient)
        by_x, by_weight, _ = ctx.needs_input_grad
        return (
            _gradient_by_map(gradient, weight, x.shape, ctx.how) if by_x else None,
            _gradient_by_weight(gradient, x, weight.shape, ctx.how) if by_weight else None,
            None,
        )


class _GradientByMap(Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, weight: Tensor, shape: Size, how: _How) -> Tensor:
        ctx.save_for_backward(gradient, weight)
        ctx.how = how
        cpu = gradient.device.type == "cpu"
        layout = torch.channels_last if cpu else torch.contiguous_format
        x = torch.empty(shape, dtype=gradient.dtype, device=gradient.device, memory_format=layout)
        return _gradients(gradient, x, weight, how, of_map=True)

    @staticmethod
    def backward(ctx: Any, tangent: Tensor) -> Gradients:
        gradient, weight = ctx.saved_tensors
        tangent = channels_last(tangent)
        by_gradient, by_weight, *_ = ctx.needs_input_grad
        return (
            _convolution(tangent, weight, ctx.how) if by_gradient else None,
            _gradient_by_weight(gradient, tangent, weight.shape, ctx.how) if by_weight else None,
            None,
            None,
        )


class _GradientByWeight(Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, x: Tensor, shape: Size, how: _How) -> Tensor:
        ctx.save_for_backward(gradient, x)
        ctx.how = how
        return _gradients(gradient, x, gradient.new_empty(shape), how, of_map=False)

    @staticmethod
    def backward(ctx: Any, tangent: Tensor) -> Gradients:
        gradient, x = ctx.saved_tensors
        by_gradient, by_x, *_ = ctx.needs_input_grad
        return (
            _convolution(x, tangent, ctx.how) if by_gradient else None,
            _gradient_by_map(gradient, tangent, x.shape, ctx.how) if by_x else None,
            None,
            None,
        )


def _gradients(gradient: Tensor, x: Tensor, weight: Tensor, how: _How, *, of_map: bool) -> Tensor:
    """One of the two; the tensor that it is the gradient of gives only its shape."""
    by_x, by_weight, _ = torch.ops.aten.convolution_backward(
        gradient,
        x,
        weight,
        None,
        [how.stride] * 2,
        [how.padding] * 2,
        [1, 1],
        False,
        [0, 0],
        how.groups,
        [of_map, not of_map, False],
    )
    result: Tensor = by_x if of_map else by_weight
    return result


_convolution: Callable[[Tensor, Tensor, _How], Tensor] = _Convolution.apply
_gradient_by_map: Callable[[Tensor, Tensor, Size, _How], Tensor] = _GradientByMap.apply
_gradient_by_weight: Callable[[Tensor, Tensor, Size, _How], Tensor] = _GradientByWeight.apply
