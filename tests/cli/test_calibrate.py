"""`metanas-profile calibrate` as a user meets it."""

import json
from contextlib import closing

import pytest

from metanas.cli import calibrate as calibrate_module
from metanas.cli import estimate as estimate_module
from metanas.devices import open_device
from metanas.profiling import profile, read_table
from metanas.profiling.timings import exclusive, journal_path
from metanas.spaces import VGG9Space
from metanas_agent.timer import TimerSettings

QUICK = TimerSettings(budget_ms=4, interval=0.2, min_samples=6, sample_ms=0.05)

pytestmark = pytest.mark.usefixtures("own_devices")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A table of this machine, with few layers."""
    path = tmp_path_factory.mktemp("tables") / "local.tsv"
    space = VGG9Space(input_shape=(1, 4, 4), ways=5, global_expansion=False, adaptive_depth=False)
    with closing(open_device("local")) as device:
        profile(device, space, QUICK, path, rounds=1)
    return path.read_bytes()


@pytest.fixture
def path(measured, tmp_path):
    path = tmp_path / "local.tsv"
    path.write_bytes(measured)
    return path


def test_a_correction_is_written_with_where_it_comes_from(run, path):
    rows = read_table(path).rows
    code, out, err = run("calibrate", path, "--networks", 5, "--seed", 3, "--json")
    assert code == 0, err
    table = read_table(path)
    assert table.rows == rows
    assert table.header.calibration.made["seed"] == 3
    assert table.header.calibration.made["command"].startswith("metanas-profile calibrate")
    found = json.loads(out)
    assert found["calibration"]["made"] == table.header.calibration.made
    assert found["throttled"] == 0
    assert list(found["kinds"]) == ["random", "chosen"]
    assert found["kinds"]["chosen"]["after"].keys() == found["after"].keys()
    assert "# made.seed = 3" in path.read_text().splitlines()
    assert list(path.parent.glob("*.jsonl")) == []


def test_fresh_starts_over_from_a_journal_that_is_refused(run, path):
    journal = path.with_name(f"{path.name}.networks.jsonl")
    journal.write_text("no JSON\n")
    code, _, err = run("calibrate", path, "--networks", 5)
    assert code == 1
    assert "start over with --fresh" in err
    assert journal.read_text() == "no JSON\n"
    code, _, err = run("calibrate", path, "--networks", 5, "--fresh")
    assert code == 0, err
    assert "5 networks" in err
    assert not journal.exists()


def test_random_and_chosen_networks_are_shown_by_themselves(run, path):
    code, _, err = run("calibrate", path, "--networks", 6)
    assert code == 0, err
    names = ("sums", "random", "chosen", "calibrated")
    shown = [line.split()[0] for line in err.splitlines() if line.strip().startswith(names)]
    assert shown == ["sums", "random", "chosen", "calibrated", "random", "chosen"]
    formula = read_table(path).header.calibration.formula
    assert f"{formula}, from 6 networks" in err
    assert formula in run("show", path)[1]


def test_a_table_that_a_sweep_is_at_work_on_is_left_alone(run, path):
    before = path.read_bytes()
    with exclusive(journal_path(path)):
        code, _, err = run("calibrate", path, "--networks", 5)
    assert code == 1
    assert "another command is at work" in err
    assert path.read_bytes() == before


def test_a_simulated_device_cannot_be_calibrated(run, tmp_path):
    small = ("--input", "1x9x9", "--ways", 2, "--out", tmp_path)
    assert run("--device", "eyeriss", *small)[0] == 0
    (table,) = tmp_path.glob("eyeriss*.tsv")
    code, _, err = run("calibrate", table)
    assert code == 1
    assert f"error: eyeriss is simulated: it runs no networks to calibrate {table} with" in err
    assert "verify" not in err
    assert list(tmp_path.glob("*.jsonl")) == []


@pytest.mark.parametrize("module", [calibrate_module, estimate_module])
def test_a_lost_board_is_said_to_be_waited_for(run, path, tmp_path, monkeypatch, module):
    """A board may take minutes to come back."""
    real = open_device

    def lose(name, *, on_wait):
        on_wait(f"lost {name}; trying again in 1 s")
        return real(name, on_wait=on_wait)

    monkeypatch.setattr(f"{module.__name__}.open_device", lose)
    small = ("--input", "1x9x9", "--ways", 2, "--out", tmp_path)
    assert run("--device", "eyeriss", *small)[0] == 0
    (table,) = tmp_path.glob("eyeriss*.tsv")
    begin = {
        "calibrate": ("calibrate", table),
        "estimate": ("estimate", "--device", "eyeriss", "--from", table, "--out", tmp_path / "new"),
    }[module.__name__.rpartition(".")[2]]
    assert "lost eyeriss; trying again in 1 s" in run(*begin)[2]
