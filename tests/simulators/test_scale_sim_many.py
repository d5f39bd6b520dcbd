"""Hundreds of layers through SCALE-Sim: random ones on random arrays, and those of the spaces."""

import numpy as np
import pytest

from metanas.spaces import make_space
from metanas_simulators import (
    SYSTOLIC_DATAFLOWS,
    Accelerator,
    Convolution,
    Sram,
    SystolicArray,
    convolution_of,
)
from support.scale_sim import NEEDS_SCALE_SIM, differences

pytestmark = [pytest.mark.slow, NEEDS_SCALE_SIM]

RANDOM_LAYERS = 120
MOST_CYCLES = 2000
"""A cycle takes some 100 us."""


def random_layer(rng):
    kernel = rng.integers(1, 6, 2)
    stride = int(rng.integers(1, 4))
    height, width = (kernel + rng.integers(0, 12, 2)).tolist()
    in_channels, out_channels = (int(2 ** rng.uniform(0, 6)) for _ in range(2))
    return Convolution(
        name="random",
        height=height,
        width=width,
        kernel_height=int(kernel[0]),
        kernel_width=int(kernel[1]),
        in_channels=in_channels,
        out_channels=out_channels,
        stride=stride,
    )


def cycles(accelerator, convolution):
    return next(SystolicArray(accelerator).cycles([convolution]))


@pytest.mark.parametrize("dataflow", SYSTOLIC_DATAFLOWS)
def test_random_layers_on_random_arrays(dataflow):
    rng = np.random.default_rng(0)
    tried = 0
    while tried < RANDOM_LAYERS:
        rows, columns = rng.integers(1, 20, 2).tolist()
        accelerator = Accelerator(rows, columns, dataflow, 100, Sram(8, 16, 4, word_bytes=2))
        convolution = random_layer(rng)
        if cycles(accelerator, convolution) > MOST_CYCLES:
            continue
        tried += 1
        assert not differences(accelerator, [convolution])


@pytest.mark.parametrize("space", ["vgg9", "resnet12"])
@pytest.mark.parametrize("dataflow", SYSTOLIC_DATAFLOWS)
def test_the_quick_layers_of_the_spaces(eyeriss, dataflow, space):
    layers = make_space(space, input_shape=(1, 28, 28), ways=5).all_layers
    distinct = dict.fromkeys(found for layer in layers if (found := convolution_of(layer)))
    quick = [layer for layer in distinct if cycles(eyeriss(dataflow), layer) <= MOST_CYCLES]
    assert len(quick) >= 25
    assert not differences(eyeriss(dataflow), quick)
