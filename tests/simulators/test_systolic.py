from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas.devices import open_device
from metanas.errors import DeviceProfileError, UnsupportedError
from metanas_agent.layers import AddLayer, ConvLayer, EmptyLayer, HeadLayer
from metanas_agent.measurement import Measurement
from metanas_agent.timer import TimerSettings
from metanas_simulators import DATAFLOWS, MatrixProduct, SystolicArray, make_simulator
from metanas_simulators import matrix_product as product_of
from support.device_conformance import DeviceConformance

EYERISS = {"backend": "systolic", "rows": 12, "columns": 14, "clock_mhz": 200, "dataflow": "ws"}
sides = st.integers(1, 6)


class TestAsADevice(DeviceConformance):
    runs_models = False
    can_be_examined = False
    free = (AddLayer, EmptyLayer)

    @pytest.fixture
    def device(self):
        return make_simulator("mine", EYERISS)


def walk_through(array, work):
    """Count cycles by following every operand through every fold of the array."""
    pixels, taps, filters = work
    stationary = {
        "ws": (taps, filters, pixels),
        "os": (pixels, filters, taps),
        "is": (taps, pixels, filters),
    }
    along_rows, along_columns, streamed = stationary[array.dataflow]
    cycles = 0
    for _ in product(
        range(0, along_rows, array.rows),
        range(0, along_columns, array.columns),
    ):
        loaded = 0 if array.dataflow == "os" else array.rows
        arrivals = product(range(streamed), range(array.rows), range(array.columns))
        cycles += 1 + max(loaded + time + row + column for time, row, column in arrivals)
    return cycles


@given(sides, sides, st.sampled_from(list(DATAFLOWS)), st.tuples(*[st.integers(1, 20)] * 3))
def test_cycles_are_those_of_every_operands_way(rows, columns, dataflow, sizes):
    array = SystolicArray(rows, columns, dataflow, clock_mhz=1)
    work = MatrixProduct(*sizes)
    assert array.cycles(work) == walk_through(array, work)


@pytest.mark.parametrize(
    ("work", "groups", "latency_ms"),
    [
        (MatrixProduct(55 * 55, 3 * 11 * 11, 96), 1, 13.3),
        (MatrixProduct(27 * 27, 48 * 5 * 5, 128), 2, 30.6),
        (MatrixProduct(13 * 13, 256 * 3 * 3, 384), 1, 22.0),
        (MatrixProduct(13 * 13, 192 * 3 * 3, 192), 2, 16.5),
        (MatrixProduct(13 * 13, 192 * 3 * 3, 128), 2, 11.8),
    ],
    ids=["conv1", "conv2", "conv3", "conv4", "conv5"],
)
def test_alexnet_takes_as_long_as_in_scale_sim(work, groups, latency_ms):
    """Batch 4 at 200 MHz, as SCALE-Sim 3.0.0 computed it, weight-stationary."""
    array = SystolicArray(12, 14, "ws", clock_mhz=200)
    assert 4 * groups * array.cycles(work) / 200e3 == pytest.approx(latency_ms, abs=0.05)


def test_a_layer_is_a_matrix_product():
    conv = ConvLayer(3, 21, 30, out_channels=8, kernel=5, stride=2, pool=2)
    assert product_of(conv) == MatrixProduct(11 * 15, 3 * 25, 8)
    assert product_of(HeadLayer(64, 7, 7, pool=2, ways=5)) == MatrixProduct(1, 256, 5)
    for layer in (conv, HeadLayer(64, 7, 7, pool=2, ways=5)):
        pixels, taps, filters = product_of(layer)
        assert pixels * taps * filters == layer.macs


@pytest.mark.parametrize("layer", [EmptyLayer(1, 1, 1), AddLayer(8, 4, 4, pool=2)], ids=str)
def test_what_is_not_modelled_costs_nothing(layer):
    assert SystolicArray(12, 14, "ws", 200).latency_ms(layer) == 0.0


def test_the_clock_scales_time():
    layer = HeadLayer(64, 2, 2, pool=1, ways=5)
    slow, fast = (SystolicArray(12, 14, "os", clock_mhz) for clock_mhz in (100, 400))
    assert slow.latency_ms(layer) == pytest.approx(4 * fast.latency_ms(layer))


def test_answers_as_a_device():
    device = make_simulator("mine", {**EYERISS, "dataflow": "is"})
    layers = [EmptyLayer(1, 1, 1), HeadLayer(64, 2, 2, pool=1, ways=5)]
    empty, head = device.measure(layers, TimerSettings())
    assert isinstance(head, Measurement)
    assert (empty.key, head.key) == tuple(layer.key for layer in layers)
    assert empty.median_ms == 0.0 < head.median_ms
    assert head.low_ms == head.median_ms == head.high_ms
    assert (head.source, head.runtime) == ("simulated", "systolic")
    description = device.describe()
    assert description.name == "mine"
    assert description.source == "simulated"
    assert "12x14" in description.machine
    assert "input-stationary at 200 MHz" in description.processor
    assert "without activation, pooling, batch-norm, sums" in description.system


def test_runs_no_models():
    device = make_simulator("mine", EYERISS)
    with pytest.raises(UnsupportedError, match="mine is simulated"):
        device.run_model(b"", None, TimerSettings())


def test_eyeriss_is_known_by_name():
    device = open_device("eyeriss")
    assert device.array == SystolicArray(12, 14, "ws", 200)
    device.close()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rows": 0}, "rows is 0"),
        ({"rows": 12.0}, "rows is 12.0"),
        ({"columns": "14"}, "columns is '14'"),
        ({"columns": True}, "columns is True"),
        ({"clock_mhz": -1}, "clock_mhz is -1"),
        ({"clock_mhz": float("nan")}, "clock_mhz is nan"),
        ({"clock_mhz": float("inf")}, "clock_mhz is inf"),
        ({"dataflow": "rs"}, "dataflow is 'rs'"),
        ({"dataflow": ["ws"]}, "dataflow is"),
        ({"backend": "magic"}, "backend is 'magic'"),
        ({"backend": None}, "backend is None"),
        ({"sram_kb": 108}, "does not know sram_kb"),
    ],
)
def test_names_the_wrong_field(changes, named):
    with pytest.raises(DeviceProfileError, match=f"device mine: .*{named}"):
        make_simulator("mine", {**EYERISS, **changes})


@pytest.mark.parametrize("missing", sorted(EYERISS))
def test_names_the_missing_field(missing):
    with pytest.raises(DeviceProfileError, match=missing):
        make_simulator("mine", {k: v for k, v in EYERISS.items() if k != missing})
