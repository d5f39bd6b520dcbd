"""The closed form against SCALE-Sim itself, and the wrapper around that."""

from dataclasses import replace
from importlib import metadata

import pytest

from metanas.errors import DeviceProfileError, ExtraMissingError, MeasurementFailedError
from metanas_simulators import (
    SYSTOLIC_DATAFLOWS,
    Accelerator,
    ScaleSim,
    Sram,
    SystolicArray,
    make_simulator,
    scale_sim_package,
)
from support.scale_sim import NEEDS_SCALE_SIM, differences

# out sides, kernel sides, channels in and out, stride
LAYERS = {
    "one multiplication": ((1, 1), (1, 1), 1, 1),
    "a pixel": ((1, 1), (3, 3), 2, 5),
    "1x1": ((5, 5), (1, 1), 7, 9),
    "1x1 with stride": ((4, 4), (1, 1), 5, 16, 2),
    "3x3": ((7, 7), (3, 3), 4, 6),
    "first layer": ((9, 9), (3, 3), 1, 16),
    "5x5 with stride": ((4, 4), (5, 5), 2, 15, 2),
    "exactly the array": ((3, 4), (2, 3), 2, 14),
    "one more than the array": ((3, 5), (1, 13), 1, 15),
    "wide": ((2, 11), (1, 3), 3, 4),
    "tall": ((11, 2), (4, 1), 3, 4, 3),
    "classifier": ((1, 1), (1, 1), 64, 5),
    "classifier of a 2x2 map": ((1, 1), (2, 2), 32, 20),
}
ARRAYS = {"1x1": (1, 1), "1x6": (1, 6), "5x1": (5, 1), "16x16": (16, 16), "3x20": (3, 20)}


@NEEDS_SCALE_SIM
@pytest.mark.parametrize("dataflow", SYSTOLIC_DATAFLOWS)
@pytest.mark.parametrize("name", LAYERS)
def test_the_closed_form_is_scale_sims(eyeriss, conv, dataflow, name):
    assert not differences(eyeriss(dataflow), [conv(*LAYERS[name])])


@NEEDS_SCALE_SIM
@pytest.mark.parametrize("dataflow", SYSTOLIC_DATAFLOWS)
@pytest.mark.parametrize("array", ARRAYS)
def test_on_any_array(conv, sram, dataflow, array):
    accelerator = Accelerator(*ARRAYS[array], dataflow, 400, sram)
    assert not differences(accelerator, [conv((3, 3), (2, 2), 3, 5)])


@NEEDS_SCALE_SIM
def test_dram_sees_each_word_once_where_buffers_hold_all(eyeriss, conv):
    found = ScaleSim(eyeriss("ws")).simulate(conv((7, 7), (3, 3), 4, 6))
    assert found.dram.ifmap_reads == 9 * 9 * 4
    assert found.dram.filter_reads == 3 * 3 * 4 * 6
    assert found.dram.ofmap_writes == found.sram.ofmap_writes


@NEEDS_SCALE_SIM
def test_words_fill_the_buffers(eyeriss, conv):
    """A map of 2,304 words fits into half of 8 KiB in words of one byte, not in words of two."""
    layer = conv((6, 6), (1, 1), 64, 15)

    def reads(word_bytes):
        accelerator = replace(eyeriss("ws"), sram=Sram(8, 36, 36, word_bytes))
        return ScaleSim(accelerator).simulate(layer).dram.ifmap_reads

    assert reads(1) == 6 * 6 * 64
    assert reads(2) > reads(1)


@NEEDS_SCALE_SIM
def test_says_where_a_figure_comes_from(eyeriss, conv):
    found = ScaleSim(eyeriss("is")).simulate(conv((1, 1), (1, 1), 1, 1, name="tiny"))
    origin = found.origin
    assert (origin.simulator, origin.version) == ("SCALE-Sim", metadata.version("scalesim"))
    assert (origin.source, origin.dataflow) == ("simulated", "input-stationary")
    assert "DRAM is never waited for" in origin.memory
    assert found.layer == "tiny"
    assert found.latency_ms == found.cycles / 200e3


@NEEDS_SCALE_SIM
def test_leaves_no_files_and_prints_nothing(eyeriss, conv, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    ScaleSim(eyeriss("os")).simulate(conv((3, 3), (3, 3), 2, 5))
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@NEEDS_SCALE_SIM
def test_a_layers_name_and_its_rest_of_a_stride_mean_nothing(eyeriss, conv):
    """SCALE-Sim splits layers named DP into channels, and rounds outputs up."""
    simulator = ScaleSim(eyeriss("ws"))
    plain = conv((3, 3), (3, 3), 2, 5, 2, name="layer")
    odd = replace(plain, name="DP", height=plain.height + 1, width=plain.width + 1)
    found = simulator.simulate(odd)
    assert replace(found, layer="layer") == simulator.simulate(plain)
    assert found.layer == "DP"


@NEEDS_SCALE_SIM
def test_one_work_is_simulated_once(eyeriss, conv, monkeypatch):
    simulator = ScaleSim(eyeriss("ws"))
    asked = []
    real = ScaleSim.simulate
    monkeypatch.setattr(
        ScaleSim, "simulate", lambda self, layer: asked.append(layer.name) or real(self, layer)
    )
    layers = [conv((2, 2), (1, 1), 2, 5, name=name) for name in ("a", "b")]
    cycles = simulator.cycles(layers)
    assert next(cycles) == next(cycles)
    assert list(simulator.cycles(layers))
    assert asked == ["a"]


@NEEDS_SCALE_SIM
def test_a_layer_that_would_fill_the_memory_is_not_begun(eyeriss, conv):
    layer = conv((84, 84), (5, 5), 144, 144, name="huge")
    with pytest.raises(MeasurementFailedError, match=r"^huge: .* GiB for \d+ cycles"):
        ScaleSim(eyeriss("ws")).simulate(layer)


@NEEDS_SCALE_SIM
def test_its_crash_names_the_layer(conv):
    """Buffers of less than 100 words have no sets to it, and it divides by their number."""
    accelerator = Accelerator(2, 2, "ws", 1, Sram(1, 1, 1, word_bytes=64))
    with pytest.raises(MeasurementFailedError, match=r"^small: SCALE-Sim failed: .*Error"):
        ScaleSim(accelerator).simulate(conv((3, 3), (3, 3), 2, 5, name="small"))


def test_needs_sram(eyeriss):
    with pytest.raises(DeviceProfileError, match="lacks sram"):
        ScaleSim(replace(eyeriss("ws"), sram=None))


@pytest.mark.parametrize("version", [None, "2.0.2"])
def test_without_the_package_the_extra_is_named(eyeriss, monkeypatch, version):
    def found(_):
        if version is None:
            raise metadata.PackageNotFoundError
        return version

    monkeypatch.setattr(scale_sim_package.metadata, "version", found)
    scale_sim_package.load_scale_sim.cache_clear()
    with pytest.raises(ExtraMissingError, match=r"scalesim is .*metanas\[scalesim\]"):
        ScaleSim(eyeriss("ws"))
    assert SystolicArray(eyeriss("ws"))


@NEEDS_SCALE_SIM
def test_it_can_be_a_devices_backend(eyeriss):
    from metanas_agent.layers import ConvLayer, EmptyLayer
    from metanas_agent.timer import TimerSettings

    settings = {"rows": 4, "columns": 4, "dataflow": "os", "clock_mhz": 100}
    sram = {"ifmap_kib": 8, "filter_kib": 8, "ofmap_kib": 8, "word_bytes": 1}
    layers = [ConvLayer(2, 6, 6, out_channels=3, kernel=3), EmptyLayer(1, 1, 1)]
    simulated = make_simulator("mine", settings | {"backend": "scale-sim", "sram": sram})
    computed = make_simulator("mine", settings | {"backend": "systolic"})
    there = list(simulated.measure(layers, TimerSettings()))
    here = list(computed.measure(layers, TimerSettings()))
    assert [row.median_ms for row in there] == [row.median_ms for row in here]
    assert {row.runtime for row in there} == {"scale-sim"}
    assert {row.runtime_version for row in there} == {metadata.version("scalesim")}
    assert "SCALE-Sim, version 3.0.0" in simulated.describe().system
