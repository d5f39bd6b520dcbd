"""With which settings a found network is verified."""

import dataclasses

import pytest

from metanas.profiling import LatencyTable, read_table
from metanas.runs import deployment, verify_on
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
    monkeypatch.setattr(deployment, "export", lambda *_, **__: [])
    monkeypatch.setattr(deployment, "trained_architecture", lambda *_: architecture)
    monkeypatch.setattr(deployment, "verify", verify)
    monkeypatch.setattr(deployment, "slowdown", slowdown)
    monkeypatch.setattr(deployment, "write_verification", lambda *_: None)
    verify_on(None, folder, table, TimerSettings(budget_ms=321, seed=4))
    expected = TimerSettings(**{"core": None, **same}, budget_ms=321, seed=4)
    assert seen == [expected, expected]
