"""Convolution and batch-norm with their own derivatives, next to PyTorch's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from metanas.spaces.batch_norm import NORM_EPSILON, batch_norm
from metanas.spaces.convolution import channels_last, convolve

PRECISIONS = {torch.float64: 1e-9, torch.float32: 1e-3}


def draw(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in shapes
    ]


def rounded(tensors, dtype):
    return [tensor.detach().to(dtype).requires_grad_() for tensor in tensors]


def derivatives(function, inputs):
    """Its value, and gradients of the first and of the second order."""
    value = function(*inputs)
    uneven = torch.linspace(1, 2, value.numel(), dtype=value.dtype).view_as(value)
    first = torch.autograd.grad((value.sin() * uneven).sum(), inputs, create_graph=True)
    second = torch.autograd.grad(sum(gradient.square().sum() for gradient in first), inputs)
    return [tensor.detach() for tensor in (value, *first, *second)]


def assert_alike(found, expected):
    for mine, plain in zip(found, expected, strict=True):
        tolerance = PRECISIONS[mine.dtype]
        largest = float(plain.abs().max())
        torch.testing.assert_close(mine.double(), plain, rtol=tolerance, atol=tolerance * largest)


@settings(max_examples=100, deadline=None)
@given(
    images=st.integers(1, 3),
    groups=st.integers(1, 3),
    channels_in=st.integers(1, 3),
    channels_out=st.integers(1, 3),
    sides=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    kernel=st.tuples(*[st.sampled_from([1, 3, 5])] * 2),
    stride=st.integers(1, 3),
    dtype=st.sampled_from(list(PRECISIONS)),
)
def test_convolution_has_the_plain_derivatives(
    images, groups, channels_in, channels_out, sides, kernel, stride, dtype
):
    inputs = draw(
        (images, groups * channels_in, *sides),
        (groups * channels_out, channels_in, *kernel),
    )
    padding = [side // 2 for side in kernel]
    assert_alike(
        derivatives(
            lambda x, w: convolve(x, w, stride=stride, groups=groups), rounded(inputs, dtype)
        ),
        derivatives(lambda x, w: F.conv2d(x, w, None, stride, padding, groups=groups), inputs),
    )


def test_convolution_can_be_differentiated_any_number_of_times():
    x, weight = draw((1, 2, 3, 3), (2, 2, 3, 3))
    assert torch.autograd.gradgradcheck(
        lambda x, w: torch.autograd.grad(
            convolve(x, w, stride=1, groups=1).tanh().sum(), (x, w), create_graph=True
        ),
        (x, weight),
    )


@settings(max_examples=60, deadline=None)
@given(
    images=st.integers(2, 4),
    channels=st.integers(1, 4),
    sides=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    seed=st.integers(0, 99),
)
def test_batch_norm_has_the_plain_derivatives(images, channels, sides, seed):
    inputs = draw((images, channels, *sides), (channels,), (channels,), seed=seed)

    def plain(x, scale, shift):
        return F.batch_norm(x, None, None, scale, shift, training=True, eps=NORM_EPSILON)

    assert_alike(derivatives(batch_norm, inputs), derivatives(plain, inputs))


def test_batch_norm_of_a_scale_of_zero_has_the_plain_derivatives():
    x, scale, shift = draw((4, 2, 3, 3), (2,), (2,))
    scale = torch.zeros_like(scale).requires_grad_()

    def plain(x, scale, shift):
        return F.batch_norm(x, None, None, scale, shift, training=True, eps=NORM_EPSILON)

    inputs = [x, scale, shift]
    assert_alike(derivatives(batch_norm, inputs), derivatives(plain, inputs))


def test_a_third_derivative_of_batch_norm_is_refused():
    x, scale, shift = draw((4, 2, 3, 3), (2,), (2,))
    (first,) = torch.autograd.grad(batch_norm(x, scale, shift).sin().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second.sum().backward()


@pytest.mark.parametrize("shape", [(2, 1, 3, 4), (2, 3, 1, 1), (1, 1, 1, 1), (2, 3, 4, 5)])
def test_maps_are_laid_out_by_pixel(shape):
    x = torch.arange(torch.Size(shape).numel()).view(shape)
    laid_out = channels_last(x)
    assert torch.equal(laid_out, x)
    assert laid_out.stride(1) == 1
    assert channels_last(laid_out) is laid_out
