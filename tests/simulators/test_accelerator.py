"""Device files of accelerators: every wrong field is named."""

import pytest

from metanas.errors import DeviceProfileError
from metanas_simulators import Accelerator, Sram, make_simulator

SRAM = {"ifmap_kib": 36, "filter_kib": 36, "ofmap_kib": 36, "word_bytes": 2}
EYERISS = {"backend": "systolic", "rows": 12, "columns": 14, "clock_mhz": 200, "dataflow": "ws"}


def test_an_accelerator_is_what_its_file_says():
    device = make_simulator("mine", EYERISS | {"sram": SRAM})
    assert device.simulator.accelerator == Accelerator(12, 14, "ws", 200, Sram(**SRAM))
    assert make_simulator("mine", EYERISS).simulator.accelerator.sram is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rows": 0}, "rows is 0"),
        ({"rows": 12.0}, r"rows is 12\.0"),
        ({"columns": "14"}, "columns is '14'"),
        ({"columns": True}, "columns is True"),
        ({"columns": 2**17}, "columns is 131072.*at most 65536"),
        ({"clock_mhz": -1}, "clock_mhz is -1"),
        ({"clock_mhz": float("nan")}, "clock_mhz is nan"),
        ({"clock_mhz": float("inf")}, "clock_mhz is inf"),
        ({"dataflow": "rs"}, "dataflow is 'rs', which no systolic array has"),
        ({"dataflow": "rs", "backend": "scale-sim"}, "dataflow is 'rs'"),
        ({"backend": "row-stationary"}, "dataflow is 'ws', not row-stationary"),
        ({"dataflow": "nlr"}, "dataflow is 'nlr'.*ws, os, is, rs"),
        ({"dataflow": ["ws"]}, "dataflow is"),
        ({"backend": "magic"}, "backend is 'magic'.*row-stationary, scale-sim, systolic"),
        ({"backend": None}, "backend is None"),
        ({"backend": "scale-sim"}, "lacks sram"),
        ({"sram_kb": 108}, "does not know sram_kb"),
        ({"sram": 108}, "sram is 108.*ifmap_kib, filter_kib, ofmap_kib, word_bytes"),
        ({"sram": SRAM | {"filter_kib": 0}}, r"sram\.filter_kib is 0"),
        ({"sram": SRAM | {"word_bytes": 0.5}}, r"sram\.word_bytes is 0\.5"),
        ({"sram": {"ifmap_kib": 36}}, r"lacks sram\.filter_kib, sram\.ofmap_kib"),
        ({"sram": SRAM | {"kib": 1}}, r"does not know sram\.kib"),
    ],
)
def test_names_the_wrong_field(changes, named):
    with pytest.raises(DeviceProfileError, match=f"device mine: .*{named}"):
        make_simulator("mine", EYERISS | changes)


@pytest.mark.parametrize("missing", sorted(EYERISS))
def test_names_the_missing_field(missing):
    with pytest.raises(DeviceProfileError, match=missing):
        make_simulator("mine", {k: v for k, v in EYERISS.items() if k != missing})
