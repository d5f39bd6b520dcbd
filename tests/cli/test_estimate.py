"""`metanas-profile estimate` as a user meets it."""

import json

import pytest

from metanas.devices import profiles_folder
from metanas.profiling import read_table

SMALL = ("--input", "1x9x9", "--ways", 2)
NAMES = "new-vgg9-1x9x9-2way.{}.tsv"


@pytest.fixture(autouse=True)
def new(own_devices):
    """A device of the user's own, a simulated array with another dataflow."""
    eyeriss = (profiles_folder() / "devices" / "eyeriss.toml").read_text()
    (own_devices / "new.toml").write_text(eyeriss.replace('dataflow = "ws"', 'dataflow = "os"'))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data" / "metanas" / "tables"


def test_a_new_device_from_another_ones_table(run, folder):
    assert run("--device", "eyeriss", *SMALL)[0] == 0
    estimate = ("estimate", "--device", "new", "--from", "eyeriss", "--probes", 8)
    code, out, _ = run(*estimate, "--json")
    assert code == 0
    found = json.loads(out)
    estimated = read_table(folder / NAMES.format("estimated"))
    assert found["table"] == str(folder / NAMES.format("estimated"))
    assert (found["source"], found["measured"]) == ("estimated", 9)
    assert found["measured"] + found["estimated"] == len(estimated.rows)
    assert 0 < found["median_half_interval"] < 2
    assert len(read_table(folder / NAMES.format("simulated")).rows) == 9

    code, _, err = run(*estimate)
    assert code == 0
    assert "9 rows simulated" in err
    assert "measured" not in err
    assert {row.reason for row in estimated.rows.values() if row.source == "estimated"} == {
        "estimated from 8 simulated rows"
    }
    code, out, _ = run("list", "--json")
    assert {head["source"] for head in json.loads(out)} == {"estimated", "simulated"}

    assert run("--device", "new", *SMALL)[0] == 0
    code, out, err = run(*estimate, "--json")
    assert json.loads(out)["estimated"] == 0
    assert "every row of new is simulated: there is nothing to estimate" in err
    assert read_table(folder / NAMES.format("estimated")).rows == estimated.rows


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--device", "new", "--from", "nothing"), "no table 'nothing'"),
        (("--device", "nobody", "--from", "eyeriss"), "unknown device 'nobody'"),
        (("--device", "new", "--from", "eyeriss", "--from", "eyeriss"), "several tables"),
    ],
)
def test_a_mistake_is_one_clear_line(run, arguments, said):
    assert run("--device", "eyeriss", *SMALL)[0] == 0
    code, _, err = run("estimate", *arguments)
    assert code == 1
    assert said in err
    assert "Traceback" not in err


def test_too_few_probes_are_a_usage_error(run):
    code, _, err = run("estimate", "--device", "new", "--from", "x", "--probes", 4)
    assert code == 2
    assert "--probes" in err
