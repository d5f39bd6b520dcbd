"""With which settings, in which opset and by which table a found network is verified."""

import dataclasses

import pytest

from metanas.devices.device import DeviceDescription
from metanas.errors import ExportError, UnsupportedError
from metanas.profiling import LatencyTable, read_table
from metanas.runs import verify_on, verifying
from metanas.runs.opset import readable_opset
from metanas_agent.timer import TimerSettings


@pytest.mark.parametrize("same", [{}, {"cache": "cold", "threads": 3, "batch": 2, "core": 1}])
def test_it_is_timed_as_its_table_was(folder, table_file, monkeypatch, same):
    """Training, exporting and running are not asked here."""
    table = read_table(table_file)
    table = LatencyTable(dataclasses.replace(table.header, timer=same), table.rows)
    space = folder.settings.make_space(folder.settings.load_data())
    seen = []

    def slowdown(device, table, settings):
        seen.append(settings)

    def verify(device, networks, *, settings, pace, **others):
        seen.append(settings)
        pace()

    architecture = str(space.largest())
    monkeypatch.setattr(verifying, "readable_opset", lambda _: None)
    monkeypatch.setattr(verifying, "export", lambda *_, **__: [])
    monkeypatch.setattr(verifying, "trained_architecture", lambda *_: architecture)
    monkeypatch.setattr(verifying, "verify", verify)
    monkeypatch.setattr(verifying, "slowdown", slowdown)
    monkeypatch.setattr(verifying, "write_verification", lambda *_: None)
    verify_on(None, folder, table, TimerSettings(budget_ms=321, seed=4))
    expected = TimerSettings(**{"core": None, **same}, budget_ms=321, seed=4)
    assert seen == [expected, expected]


class Board:
    """Says of itself which runtimes it has."""

    name = "old board"

    def __init__(self, runtimes):
        self.runtimes = runtimes

    def describe(self):
        return DeviceDescription("", "", "", 1, "", self.runtimes, "measured", "0.1.0")


def test_a_network_is_written_in_what_the_device_reads():
    assert readable_opset(Board({"onnx": "1.31.1"})) == 18
    assert readable_opset(Board({"onnx": "1.12.0"})) == 17
    assert readable_opset(Board({"native": "1"})) is None
    with pytest.raises(ExportError, match=r"'1\.2\.0' is not known"):
        readable_opset(Board({"onnx": "1.2.0"}))


def test_a_table_of_int8_is_not_held_against_a_network_of_float32(folder, table_file):
    table = read_table(table_file)
    spaces = tuple({**space, "dtype": "int8"} for space in table.header.spaces)
    table = LatencyTable(dataclasses.replace(table.header, spaces=spaces), table.rows)
    with pytest.raises(UnsupportedError, match="is of int8"):
        verify_on(None, folder, table, TimerSettings())
