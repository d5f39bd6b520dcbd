"""The tables of pixels against torch's own convolutions and poolings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from metanas.deploy.adaptation_graph.gathered import pixels

SIDES = [(1, 1), (1, 4), (5, 1), (6, 6), (7, 5), (12, 8)]
KERNELS = [(1, 1), (3, 1), (5, 1), (1, 2), (3, 2), (5, 2)]


def stored(image):
    """A map (1, 1, height, width) as it is stored, and the zero behind it."""
    order = pixels.stored_order(image.shape[2:])
    return np.append(image.flatten().numpy()[order], 0)


def random_map(sides, seed=0):
    return torch.randn(1, 1, *sides, generator=torch.Generator().manual_seed(seed))


def output_of(sides, stride):
    return tuple(-(-side // stride) for side in sides)


@pytest.mark.parametrize("sides", SIDES)
def test_every_pixel_is_stored_once(sides):
    assert sorted(pixels.stored_order(sides)) == list(range(np.prod(sides)))


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize(("kernel", "stride"), KERNELS)
def test_patches_make_a_convolution(sides, kernel, stride):
    image, weight = random_map(sides), torch.randn(1, 1, kernel, kernel)
    expected = F.conv2d(image, weight, stride=stride, padding=kernel // 2)
    table = pixels.patches(sides, expected.shape[2:], kernel, stride)
    given = stored(image)[table] @ weight.flatten().numpy()
    np.testing.assert_allclose(given, stored(expected)[:-1], atol=1e-5)


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize(("kernel", "stride"), KERNELS)
def test_parts_make_its_gradient(sides, kernel, stride):
    image, weight = random_map(sides).requires_grad_(), torch.randn(1, 1, kernel, kernel)
    output = F.conv2d(image, weight, stride=stride, padding=kernel // 2)
    gradient = random_map(output.shape[2:], seed=1)
    (expected,) = torch.autograd.grad(output, image, gradient)
    given = np.zeros(image.numel(), np.float32)
    for part in pixels.parts(sides, output.shape[2:], kernel, stride):
        weights = weight.flatten().numpy()[part.places]
        given[part.pixels] = stored(gradient)[part.outputs] @ weights
    np.testing.assert_allclose(given, stored(expected)[:-1], atol=1e-5)


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("window", [2, 3])
def test_windows_make_a_pooling(sides, window):
    image = random_map(sides)
    expected = F.max_pool2d(image, window, ceil_mode=True)
    table = pixels.windows(sides, expected.shape[2:], window)
    np.testing.assert_array_equal(stored(image)[table].max(0), stored(expected)[:-1])


def test_a_window_beyond_the_map_names_its_first_pixel_again():
    table = pixels.windows((3, 3), (2, 2), 2)
    back = pixels.first_positions(table.ravel(), 9)
    np.testing.assert_array_equal(table.ravel()[back], np.arange(9))
    places = back // table.shape[1]
    assert [(places == place).sum() for place in range(4)] == [4, 2, 2, 1]


@pytest.mark.parametrize("sides", [(2, 2), (12, 8), (28, 28), (84, 84)])
def test_where_all_sides_are_even_no_pixel_moves(sides):
    half = output_of(sides, 2)
    count = np.prod(sides)
    np.testing.assert_array_equal(pixels.windows(sides, half, 2).ravel(), np.arange(count))
    parts = np.concatenate([part.pixels for part in pixels.parts(sides, half, 3, 2)])
    np.testing.assert_array_equal(parts, np.arange(count))
