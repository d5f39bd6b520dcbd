"""The device's pace, on a simulated device that can be slowed down."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metanas.devices import open_device
from metanas.profiling import Sentinel, profile, slowdown
from metanas.spaces import VGG9Space
from metanas_agent.timer import TimerSettings


def test_slowdown_is_the_sentinels_now_against_then(tmp_path):
    device = open_device("eyeriss")
    space = VGG9Space(input_shape=(1, 8, 8), ways=2, global_expansion=False, adaptive_depth=False)
    table = profile(device, space, TimerSettings(), tmp_path / "table.tsv")
    layer = space.layers(space.largest())[1]
    then_ms = table.row(layer).median_ms

    def against(median_ms: float) -> float | None:
        sentinel = Sentinel(layer.key, timings=3, median_ms=median_ms, p10_ms=0, p90_ms=1)
        header = replace(table.header, sentinel=sentinel)
        return slowdown(device, replace(table, header=header), TimerSettings())

    assert against(then_ms) == pytest.approx(1, rel=1e-5)
    assert against(then_ms / 2) == pytest.approx(2, rel=1e-5)
    assert (
        slowdown(
            device, replace(table, header=replace(table.header, sentinel=None)), TimerSettings()
        )
        is None
    )
