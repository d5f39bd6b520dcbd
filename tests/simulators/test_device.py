import pytest

from metanas.devices import open_device
from metanas.errors import UnsupportedError
from metanas_agent.layers import AddLayer, ConvLayer, EmptyLayer, HeadLayer
from metanas_agent.measurement import Measurement
from metanas_agent.timer import TimerSettings
from metanas_simulators import make_simulator
from support.device_conformance import DeviceConformance

ARRAY = {"rows": 12, "columns": 14, "clock_mhz": 200}
SYSTOLIC = ARRAY | {"backend": "systolic", "dataflow": "ws"}
ROW_STATIONARY = ARRAY | {"backend": "row-stationary", "dataflow": "rs"}


class SimulatedConformance(DeviceConformance):
    runs_models = False
    can_be_examined = False
    free = (AddLayer, EmptyLayer)


class TestSystolic(SimulatedConformance):
    @pytest.fixture
    def device(self):
        return make_simulator("mine", SYSTOLIC)


class TestRowStationary(SimulatedConformance):
    @pytest.fixture
    def device(self):
        return make_simulator("mine", ROW_STATIONARY)


@pytest.mark.parametrize("settings", [SYSTOLIC, ROW_STATIONARY], ids=lambda s: s["backend"])
def test_the_clock_scales_time(settings):
    layers = [HeadLayer(64, 2, 2, pool=1, ways=5)]
    slow, fast = (
        next(make_simulator("mine", settings | {"clock_mhz": mhz}).measure(layers, TimerSettings()))
        for mhz in (100, 400)
    )
    assert slow.median_ms == pytest.approx(4 * fast.median_ms)


def test_answers_as_a_device():
    device = make_simulator("mine", SYSTOLIC | {"dataflow": "is"})
    layers = [EmptyLayer(1, 1, 1), HeadLayer(64, 2, 2, pool=1, ways=5)]
    empty, head = device.measure(layers, TimerSettings())
    assert isinstance(head, Measurement)
    assert (empty.key, head.key) == tuple(layer.key for layer in layers)
    assert empty.median_ms == 0.0 < head.median_ms
    assert head.low_ms == head.median_ms == head.high_ms
    assert (head.source, head.runtime) == ("simulated", "systolic")
    assert head.clock_mhz_before == head.clock_mhz_after == 200


def test_pooling_and_activation_take_no_time():
    device = make_simulator("mine", SYSTOLIC)
    alike = [
        ConvLayer(3, 8, 8, out_channels=4, kernel=3, activation=activation, pool=pool)
        for activation in ("relu", "sigmoid", "none")
        for pool in (1, 2)
    ]
    times = {row.median_ms for row in device.measure(alike, TimerSettings())}
    assert len(times) == 1


@pytest.mark.parametrize(
    ("settings", "simulator", "dataflow"),
    [
        (SYSTOLIC, "closed form of SCALE-Sim 3.0.0", "weight-stationary"),
        (ROW_STATIONARY, "closed form of row-stationary mapping", "row-stationary"),
    ],
)
def test_describes_what_is_simulated_and_what_is_not(settings, simulator, dataflow):
    device = make_simulator("mine", settings)
    description = device.describe()
    assert (description.name, description.source) == ("mine", "simulated")
    assert "12x14" in description.machine
    assert description.processor == f"{dataflow} at 200 MHz"
    assert simulator in description.system
    assert "DRAM is never waited for" in description.system
    assert "without activation, pooling, batch-norm, sums" in description.system
    assert list(description.runtimes) == [settings["backend"]]


@pytest.mark.parametrize(
    "asked", [{"batch": 8}, {"cache": "cold"}, {"threads": 2}, {"energy": True}], ids=str
)
def test_other_ways_of_calling_are_refused(asked):
    device = make_simulator("mine", SYSTOLIC)
    with pytest.raises(UnsupportedError, match="mine is simulated: it does not model"):
        next(device.measure([EmptyLayer(1, 1, 1)], TimerSettings(**asked)))


def test_runs_no_models():
    device = make_simulator("mine", SYSTOLIC)
    with pytest.raises(UnsupportedError, match="mine is simulated"):
        device.run_model(b"", None, TimerSettings())


@pytest.mark.parametrize(
    ("name", "dataflow"), [("eyeriss", "weight-stationary"), ("eyeriss-rs", "row-stationary")]
)
def test_eyeriss_is_known_by_name(name, dataflow):
    device = open_device(name)
    accelerator = device.simulator.accelerator
    assert (accelerator.rows, accelerator.columns, accelerator.clock_mhz) == (12, 14, 200)
    assert device.simulator.origin.dataflow == dataflow
    device.close()
