"""A sweep of this machine's own processor, through a real agent."""

import numpy as np

from metanas.devices import open_device
from metanas.profiling import CALL, profile, read_table
from metanas_agent.timer import TimerSettings


def test_measures_this_machine(space, tmp_path):
    device = open_device("local")
    try:
        settings = TimerSettings(budget_ms=5, interval=0.2, sample_ms=0.05)
        table = profile(device, space, settings, tmp_path / "local.tsv")
    finally:
        device.close()
    assert read_table(tmp_path / "local.tsv") == table
    assert table.shared("source") == "measured"
    assert table.shared("runtime") == "onnx"
    assert table.header.sentinel.timings >= 2
    assert table.row(CALL).median_ms > 0
    genes = space.sample(50, np.random.default_rng(0))
    assert (table.latency_ms(space, genes) > table.row(CALL).median_ms).all()
