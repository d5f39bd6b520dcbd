"""Convolutions of every kind, as programs of this machine, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.onnx_graphs import convolution_file
from support.sampled_networks import relative_difference, run_native, run_onnx

pytest.importorskip("tvm", reason="needs apache-tvm: pip install 'metanas[native]'")

from metanas.native.network import build_network_program
from metanas.native.network_geometry import ConvolutionShape, tile_size
from metanas.native.network_lowering import lower_network
from metanas.native.network_model import parse_network
from metanas.native.network_schedule import schedule_kernel
from metanas.native.targets import TARGETS, find_target

SIZES = st.tuples(st.integers(1, 90), st.integers(1, 90))


@pytest.mark.parametrize(
    ("shape", "weights", "settings"),
    [
        pytest.param((3, 7, 9), (5, 3, 3, 3), {"pads": (1, 1, 1, 1)}, id="ragged channels"),
        pytest.param((2, 11, 6), (8, 2, 5, 5), {"stride": (2, 2), "pads": (2, 2, 2, 2)}, id="5x5"),
        pytest.param((4, 8, 8), (16, 4, 3, 3), {}, id="no border"),
        pytest.param((4, 5, 7), (20, 4, 1, 1), {}, id="1x1"),
        pytest.param((4, 5, 7), (6, 4, 1, 1), {"stride": (2, 2)}, id="1x1, stride 2"),
        pytest.param((4, 1, 9), (6, 4, 1, 1), {}, id="1x1 on one row"),
        pytest.param((32, 6, 13), (17, 32, 3, 3), {"pads": (1, 1, 1, 1)}, id="channel blocks"),
        pytest.param((3, 10, 4), (4, 3, 3, 2), {"stride": (2, 1), "pads": (0, 1, 2, 0)}, id="odd"),
        pytest.param((4, 9, 9), (8, 4, 3, 3), {"stride": (2, 1)}, id="strides differ"),
        pytest.param((3, 5, 6), (1, 3, 3, 3), {"pads": (1, 1, 1, 1)}, id="one channel of a tile"),
        pytest.param((4, 9, 9), (8, 2, 3, 3), {"groups": 2}, id="groups"),
        pytest.param((2, 9, 9), (3, 2, 3, 3), {"dilation": (2, 2)}, id="dilation"),
        pytest.param((1, 1, 1), (1, 1, 1, 1), {}, id="one pixel"),
    ],
)
@pytest.mark.parametrize("name", ["x86-64", "armv6"])
def test_convolution_agrees_with_onnxruntime(shape, weights, settings, name):
    model = convolution_file(shape, weights, **settings)
    image = np.random.default_rng(1).standard_normal(shape, np.float32)
    artifact = build_network_program(model, find_target(name))
    assert relative_difference(run_native(artifact, image), run_onnx(model, image)) < 1e-5


@pytest.mark.parametrize(
    ("shape", "weights", "settings", "calls"),
    [
        pytest.param((1, 28, 28), (8, 1, 3, 3), {"pads": (1, 1, 1, 1)}, "k3s1p4", id="3x3"),
        pytest.param((16, 9, 9), (2, 16, 5, 5), {"stride": (2, 2)}, "k5s2p3", id="5x5, stride 2"),
        pytest.param((48, 7, 7), (8, 48, 3, 3), {"pads": (1, 1, 1, 1)}, "k3s1p4", id="blocks"),
        pytest.param((4, 8, 8), (8, 4, 1, 1), {}, "k1s1p4", id="1x1"),
        pytest.param((4, 9, 9), (8, 4, 3, 2), {}, None, id="not square"),
        pytest.param((4, 9, 9), (8, 4, 3, 3), {"stride": (2, 1)}, "k3s1", id="stride of rows"),
    ],
)
def test_square_windows_are_summed_by_short_vectors(shape, weights, settings, calls):
    target = find_target("armv6")
    module = lower_network(parse_network(convolution_file(shape, weights, **settings)), target)
    (name,) = (var.name_hint for var in module.get_global_vars() if "conv" in var.name_hint)
    code = schedule_kernel(module[name], target).script()
    if calls is None:
        assert "sum_tiles" not in code
    else:
        assert f'"sum_tiles_{calls}' in code


def convolution(size, kernel=(3, 3), stride=(1, 1), before=(1, 1), after=(1, 1)):
    return ConvolutionShape(
        in_channels=3,
        size=size,
        out_channels=8,
        kernel=kernel,
        stride=stride,
        before=before,
        after=after,
    )


@pytest.mark.parametrize("name", TARGETS)
@given(size=SIZES, stride=st.integers(1, 2))
def test_tile_fits_the_registers_and_the_map(name, size, stride):
    target = find_target(name)
    shape = convolution(size, stride=(stride, stride))
    rows, columns = tile_size(shape, target)
    assert 1 <= rows <= shape.out_size[0]
    assert 1 <= columns <= shape.out_size[1]
    assert rows * columns <= max(pixels for _, pixels in target.tiles)
    assert rows == 1 or not target.short_vectors


def test_small_map_gets_a_tile_of_several_rows():
    rows, columns = tile_size(convolution((3, 3)), find_target("x86-64-v3"))
    assert (rows, columns) == (3, 3)


def test_output_size_counts_each_border_by_itself():
    shape = convolution((10, 7), kernel=(3, 2), stride=(2, 1), before=(0, 1), after=(2, 0))
    assert shape.out_size == (5, 7)
    assert not shape.is_pointwise
    assert convolution((4, 4), kernel=(1, 1), before=(0, 0), after=(0, 0)).is_pointwise
