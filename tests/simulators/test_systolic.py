"""The closed form against operands that are followed one by one; SCALE-Sim has tests of its own."""

from collections import Counter
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metanas_simulators import SYSTOLIC_DATAFLOWS, Accelerator, Convolution, SystolicArray, Traffic

sides = st.integers(1, 6)
works = st.tuples(*[st.integers(1, 20)] * 3)
dataflows = st.sampled_from(SYSTOLIC_DATAFLOWS)


def matrix_product(pixels, taps, filters):
    """A convolution of so much work: a column of pixels, seen by kernels of one pixel."""
    return Convolution(
        name="product",
        height=pixels,
        width=1,
        kernel_height=1,
        kernel_width=1,
        in_channels=taps,
        out_channels=filters,
    )


def folds(accelerator, work):
    """Of each fold: what lies along its rows, along its columns, and what streams through."""
    pixels, taps, filters = map(range, work)
    along_rows, along_columns, streamed = {
        "ws": (taps, filters, pixels),
        "os": (pixels, filters, taps),
        "is": (taps, pixels, filters),
    }[accelerator.dataflow]
    for row, column in product(
        range(0, len(along_rows), accelerator.rows),
        range(0, len(along_columns), accelerator.columns),
    ):
        yield (
            along_rows[row : row + accelerator.rows],
            along_columns[column : column + accelerator.columns],
            streamed,
        )


@given(sides, sides, dataflows, works)
def test_cycles_are_those_of_every_operands_way(rows, columns, dataflow, work):
    accelerator = Accelerator(rows, columns, dataflow, clock_mhz=1)
    cycles = 0
    for _, _, streamed in folds(accelerator, work):
        loaded = 0 if dataflow == "os" else rows
        arrivals = product(range(len(streamed)), range(rows), range(columns))
        cycles += 1 + max(loaded + time + row + column for time, row, column in arrivals)
    assert list(SystolicArray(accelerator).cycles([matrix_product(*work)])) == [cycles]


@given(sides, sides, dataflows, st.tuples(*[st.integers(1, 12)] * 3))
@settings(max_examples=50)
def test_traffic_is_what_every_fold_reads_and_writes(rows, columns, dataflow, work):
    """An operand that streams enters at every row (or column); the one that stays is loaded."""
    accelerator = Accelerator(rows, columns, dataflow, clock_mhz=1)
    words = Counter()
    busy, count = 0, 0
    for along_rows, along_columns, streamed in folds(accelerator, work):
        edges = {
            "rows": len(along_rows) * len(streamed),
            "columns": len(along_columns) * len(streamed),
            "inside": len(along_rows) * len(along_columns),
        }
        ifmap, filters, ofmap = {
            "ws": ("rows", "inside", "columns"),
            "os": ("rows", "columns", "inside"),
            "is": ("inside", "rows", "columns"),
        }[dataflow]
        words.update(ifmap=edges[ifmap], filter=edges[filters], ofmap=edges[ofmap])
        busy, count = busy + edges["inside"], count + 1
    (found,) = SystolicArray(accelerator).simulate([matrix_product(*work)])
    assert found.sram == Traffic(words["ifmap"], words["filter"], words["ofmap"])
    assert found.dram is None
    assert found.mapping_efficiency == pytest.approx(busy / (count * rows * columns))
    macs = work[0] * work[1] * work[2]
    assert found.utilisation == pytest.approx(macs / (found.cycles * rows * columns))


def test_many_layers_at_once_are_the_same_as_one_by_one(eyeriss):
    array = SystolicArray(eyeriss("ws"))
    products = [matrix_product(pixels, 9, pixels * 2) for pixels in (1, 5, 100)]
    assert array.simulate(products) == [array.simulate([one])[0] for one in products]
    assert list(array.cycles(products)) == [found.cycles for found in array.simulate(products)]
    assert list(array.cycles([])) == array.simulate([]) == []


def test_says_where_a_figure_comes_from(eyeriss):
    (found,) = SystolicArray(eyeriss("os")).simulate([matrix_product(9, 9, 9)])
    assert found.layer == "product"
    assert found.origin.source == "simulated"
    assert "closed form of SCALE-Sim 3.0.0" in found.origin.simulator
    assert found.origin.version
    assert found.origin.dataflow == "output-stationary"
    assert found.origin.clock_mhz == 200
    assert "36 + 36 + 36 KiB" in found.origin.memory
    assert "DRAM is never waited for" in found.origin.memory
    assert found.latency_ms == pytest.approx(found.cycles / 200e3)


def test_counts_of_the_largest_layers_and_arrays_are_exact():
    work = (2**20, 2**10, 2**10)
    (cycles,) = SystolicArray(Accelerator(1, 1, "ws", 1)).cycles([matrix_product(*work)])
    assert cycles == 2**20 * (2**20 + 1)
    (cycles,) = SystolicArray(Accelerator(2**16, 2**16, "ws", 1)).cycles([matrix_product(*work)])
    assert cycles == 2**20 + 3 * 2**16 - 2
