"""Probing: only the probes are measured, once, and a sweep goes on from them."""

import pytest

from metanas.errors import EmulatedTableError
from metanas.profiling import CALL, profile, read_table
from metanas.profiling.estimate import measure_probes, measure_rows, uncertain
from metanas_agent.timer import TimerSettings

SETTINGS = TimerSettings()


def probe(device, estimator, out, probes=10):
    return measure_probes(device, estimator, SETTINGS, out, probes=probes)


class Emulated:
    """A device that says that it is emulated, and must not be asked for more."""

    name = "emulated"

    def __init__(self, device, description):
        self.describe = lambda: description


def test_the_call_and_as_many_layers_as_asked_for(new_device, estimator, tmp_path):
    table = probe(new_device, estimator, tmp_path / "new.tsv")
    assert len(table.rows) == 11
    assert CALL.key in table.rows
    assert read_table(tmp_path / "new.tsv") == table
    assert set(table.header.left_out.values()) == {"not asked for"}


def test_what_is_measured_is_not_measured_again(new_device, weathered, estimator, tmp_path):
    device = weathered(new_device)
    asked = device.asked
    probe(device, estimator, tmp_path / "new.tsv", probes=8)
    before = set(asked)
    asked.clear()
    probe(device, estimator, tmp_path / "new.tsv", probes=12)
    table = read_table(tmp_path / "new.tsv")
    assert len(table.rows) == 13
    assert (before & set(asked)) <= {table.header.sentinel.key}


def test_a_lost_link_loses_no_probe(new_device, weathered, estimator, tmp_path):
    out = tmp_path / "new.tsv"
    with pytest.raises(ConnectionResetError):
        probe(weathered(new_device, dies_after=9), estimator, out)
    table = probe(weathered(new_device), estimator, out)
    assert len(table.rows) == 11


def test_a_sweep_goes_on_from_the_probes(new_device, estimator, space, tmp_path):
    out = tmp_path / "new.tsv"
    probes = probe(new_device, estimator, out)
    whole = profile(new_device, space, SETTINGS, out)
    assert not whole.missing(space.all_layers)
    assert not whole.header.left_out
    assert all(whole.rows[key] == row for key, row in probes.rows.items())


def test_uncertain_rows_are_measured_as_the_probes_were(new_device, estimator, space, tmp_path):
    probes = probe(new_device, estimator, tmp_path / "new.tsv")
    estimated = estimator.estimate(probes)
    asked = uncertain(estimated, space.layers(space.largest()))
    table = measure_rows(new_device, estimated, asked, tmp_path)
    assert {CALL.key, *(layer.key for layer in asked)} <= table.rows.keys()
    assert (tmp_path / "array-is-vgg9-1x12x12-5way-global_expansion-False.simulated.tsv").exists()


def test_an_emulator_is_refused_before_anything_is_measured(new_device, estimator, tmp_path):
    from dataclasses import replace

    description = replace(new_device.describe(), source="emulated")
    with pytest.raises(EmulatedTableError, match="emulated"):
        probe(Emulated(new_device, description), estimator, tmp_path / "new.tsv")
    assert not list(tmp_path.iterdir())
