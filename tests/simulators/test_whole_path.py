"""A user's own accelerator from its file to a report: profile, adapt, export, report."""

import json
import sys
from pathlib import Path

import pytest

from metanas.cli.app import main
from metanas.cli.profile import main as profile_main
from metanas.profiling import read_table

ARRAY = """
kind = "simulator"
backend = "systolic"
rows = 16
columns = 16
clock_mhz = 400
dataflow = "os"
"""
TASK = ("--ways", 2)
TINY = "--epochs 1 --iterations 1 --tasks 1".split()
TRAINING = "--inner-steps 1 --train-queries 1 --queries 2 --workers 1".split()
SEARCH = "--population 4 --rounds 2 --search-tasks 1 --episodes 20".split()


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs a command as its console script does; gives standard output of one that succeeds."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("os.fsync", lambda _: None)

    def run(*arguments, entry=main):
        monkeypatch.setattr(sys, "argv", ["metanas", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            entry()
        out, err = capsys.readouterr()
        assert not stop.value.code, err
        return out

    return run


def test_a_search_keeps_to_a_limit_of_ones_own_accelerator_and_of_the_chip(command, tmp_path):
    devices = tmp_path / "config" / "metanas" / "devices"
    devices.mkdir(parents=True)
    (devices / "mine.toml").write_text(ARRAY)
    tables = {}
    for name in ("mine", "eyeriss-rs"):
        out = command("--device", name, *TASK, "--json", entry=profile_main)
        tables[name] = Path(json.loads(out)["table"])
        assert tables[name].name.endswith(".simulated.tsv")
    header = read_table(tables["mine"]).header
    assert header.device.source == "simulated"
    assert header.device.processor == "output-stationary at 400 MHz"
    assert "closed form of SCALE-Sim 3.0.0" in header.device.system

    run = tmp_path / "run"
    command("train", run, *TASK, *TINY, *TRAINING)
    limits = ("--constraint", "latency_ms[mine]<=40%", "--constraint", "latency_ms[eyeriss-rs]<=2")
    given = [item for table in tables.values() for item in ("--table", table)]
    out = command("adapt", run, *given, *limits, *SEARCH, *TINY, "--json")
    costs = json.loads(out)["costs"]
    for limit in json.loads((run / "search.json").read_text())["constraints"]:
        assert 0 < costs[f"latency_ms[{limit['device']}]"] <= limit["limit"]

    exported = json.loads(command("export", run, "--json"))
    assert exported["bytes"] == (run / "model.onnx").stat().st_size
    command("report", run)
    page = (run / "report.html").read_text()
    assert "simulated" in page
    assert "output-stationary at 400 MHz" in page
