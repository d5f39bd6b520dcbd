"""Row-stationary cycles: a legal schedule for each, the chip's own times, and nn-dataflow's."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas_simulators import Accelerator, Convolution, RowStationaryArray

NN_DATAFLOW = Path(__file__).with_name("nn_dataflow.tsv")

# (out side, kernel side, in channels, out channels, stride), groups, ms of a batch of 4 (JSSC 2017)
CHIP = {
    "conv1": ((55, 11, 3, 96, 4), 1, 16.5),
    "conv2": ((27, 5, 48, 128, 1), 2, 39.2),
    "conv3": ((13, 3, 256, 384, 1), 1, 21.8),
    "conv4": ((13, 3, 192, 192, 1), 2, 16.0),
    "conv5": ((13, 3, 192, 128, 1), 2, 10.0),
}


@pytest.fixture
def chip_ms(eyeriss, conv):
    """Milliseconds of a layer of AlexNet, batch 4, at the chip's clock."""
    array = RowStationaryArray(eyeriss("rs"))

    def time(layer):
        (out, kernel, in_channels, out_channels, stride), groups, _ = CHIP[layer]
        convolution = conv((out, out), (kernel, kernel), in_channels, out_channels, stride)
        (cycles,) = array.cycles([convolution])
        return 4 * groups * array.origin.latency_ms(cycles)

    return time


@pytest.mark.parametrize("layer", CHIP)
def test_alexnet_takes_as_long_as_on_the_chip(chip_ms, layer):
    measured = CHIP[layer][-1]
    assert 0.84 * measured <= chip_ms(layer) <= measured, "the chip waits for its memory too"


def test_alexnets_sum_is_within_13_percent_of_the_chip(chip_ms):
    measured = sum(row[-1] for row in CHIP.values())
    assert sum(map(chip_ms, CHIP)) == pytest.approx(measured, rel=0.13)


def test_cycles_are_those_of_nn_dataflows_schedules(eyeriss, conv):
    """Written by benchmarks/eyeriss_nn_dataflow.py."""
    _, names, *lines = NN_DATAFLOW.read_text().splitlines()
    rows = [dict(zip(names.split("\t"), map(int, line.split("\t")), strict=True)) for line in lines]
    layers = [
        conv(
            (row["out_height"], row["out_width"]),
            (row["kernel_height"], row["kernel_width"]),
            row["in_channels"],
            row["out_channels"],
            row["stride"],
        )
        for row in rows
    ]
    ours = RowStationaryArray(eyeriss("rs")).cycles(layers)
    different = [row for row, own in zip(rows, ours, strict=True) if own != row["cycles"]]
    assert len(rows) >= 400
    assert different == []


def passes(rows, columns, kernel_rows, out_rows, in_channels, out_channels, channels):
    """Each pass as {element: its work}: a filter's row, an output's row, a channel and a filter.

    Args:
        rows: of the array.
        columns: of the array.
        kernel_rows: of the filters.
        out_rows: of the output.
        in_channels: of the input.
        out_channels: of the output.
        channels: that stacked sets divide among themselves.
    """
    blocks = max(rows // kernel_rows, 1)
    strips = [range(start, min(start + columns, out_rows)) for start in range(0, out_rows, columns)]
    strips_at_once = min(blocks, len(strips))
    filters_above = blocks // strips_at_once // channels
    filters_beside = max(columns // out_rows, 1)
    at_once = filters_above * filters_beside
    for strip, channel, filter_, fold in product(
        range(0, len(strips), strips_at_once),
        range(0, in_channels, channels),
        range(0, out_channels, at_once),
        range(0, kernel_rows, rows),
    ):
        busy = {}
        for at, c, f in product(range(strips_at_once), range(channels), range(at_once)):
            if strip + at >= len(strips) or channel + c >= in_channels:
                continue
            if filter_ + f >= out_channels:
                continue
            above, beside = divmod(f, filters_beside)
            block = (at * channels + c) * filters_above + above
            for row, (column, out_row) in product(
                range(fold, min(fold + rows, kernel_rows)), enumerate(strips[strip + at])
            ):
                element = (block * kernel_rows + row - fold, beside * out_rows + column)
                assert element not in busy
                assert element[0] < rows
                assert element[1] < columns
                busy[element] = (row, out_row, channel + c, filter_ + f)
        yield busy


@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 9), st.integers(1, 3)),
    st.tuples(st.integers(1, 5), st.integers(1, 6)),
)
def test_a_schedule_of_so_many_cycles_does_all_the_work(array, out, kernel, channels):
    rows, columns = array
    convolution = Convolution(
        name="layer",
        height=out[0] + kernel[0] - 1,
        width=out[1] + kernel[1] - 1,
        kernel_height=kernel[0],
        kernel_width=kernel[1],
        in_channels=channels[0],
        out_channels=channels[1],
    )
    (cycles,) = RowStationaryArray(Accelerator(rows, columns, "rs", 1)).cycles([convolution])
    blocks = max(rows // kernel[0], 1)
    stacked = blocks // min(blocks, -(-out[0] // columns))
    schedules = [
        list(passes(rows, columns, kernel[0], out[0], *channels, divisor))
        for divisor in range(1, stacked + 1)
        if stacked % divisor == 0
    ]
    fewest = min(schedules, key=len)
    done = [work for busy in fewest for work in busy.values()]
    everything = product(range(kernel[0]), range(out[0]), range(channels[0]), range(channels[1]))
    assert sorted(done) == sorted(everything)
    assert cycles == len(fewest) * kernel[1] * out[1]


def test_no_layers_give_no_cycles(eyeriss):
    assert list(RowStationaryArray(eyeriss("rs")).cycles([])) == []
