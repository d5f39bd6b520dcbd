import json
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from metanas.cli.measured import Measured
from metanas.errors import MeasurementFailedError
from metanas.profiling import LatencyTable, diff, read_table
from metanas.profiling.table import space_of
from metanas.profiling.timings import exclusive
from metanas_simulators.device import SimulatedDevice
from support.profile_command import ended

ROWS = 2801
NAME = "eyeriss-vgg9-1x28x28-5way.simulated.tsv"

pytestmark = pytest.mark.usefixtures("own_devices")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tables of two spaces, made by the command itself."""
    folder = tmp_path_factory.mktemp("tables")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        for extra in ((), ("--downsampling", "strided")):
            assert ended(patch, "--device", "eyeriss", "--out", folder, *extra) == 0
    return folder


def test_measures_and_writes_a_table(folder):
    table = read_table(folder / NAME)
    assert len(table.rows) == ROWS
    assert "--device eyeriss" in table.header.made["command"]
    assert not list(folder.glob("*.jsonl"))


def test_the_table_lies_in_the_data_folder_and_is_not_made_twice(run, tmp_path):
    code, out, _ = run("--device", "eyeriss", "--input", "1x9x9", "--ways", 2, "--json")
    assert code == 0
    result = json.loads(out)
    path = tmp_path / "data" / "metanas" / "tables" / "eyeriss-vgg9-1x9x9-2way.simulated.tsv"
    assert result["table"] == str(path)
    assert result["rows"] == len(read_table(path).rows)
    assert result["verdicts"] == {"trusted": result["rows"], "noisy": 0, "throttled": 0}
    before = path.stat().st_mtime_ns
    assert run("--device", "eyeriss", "--input", "1x9x9", "--ways", 2)[0] == 0
    assert path.stat().st_mtime_ns == before
    code, _, err = run("--device", "eyeriss", "--input", "1x9x9", "--ways", 2, "--seed", 1)
    assert code == 1
    assert "timer.seed was 0, now 1" in err
    assert "--fresh" in err
    arguments = ("--device", "eyeriss", "--input", "1x9x9", "--ways", 2, "--seed", 1, "--fresh")
    assert run(*arguments)[0] == 0
    assert read_table(path).header.timer["seed"] == 1


def test_a_budget_leaves_out_what_the_same_command_measures_later(run, tmp_path):
    arguments = ("--device", "eyeriss", "--input", "1x9x9", "--ways", 2, "--out", tmp_path)
    path = tmp_path / "eyeriss-vgg9-1x9x9-2way.simulated.tsv"
    code, _, err = run(*arguments, "--budget", "0.000001s")
    assert code == 0
    left_out = read_table(path).header.left_out
    words = " ".join(err.split())
    assert f"left out, for the budget is spent: {len(left_out)} layers, about 100% of" in words
    assert f"and {len(left_out) - 3} more until it has those too, adapt and calibrate" in words
    assert "the same command goes on from here, without --budget to the end" in words
    assert "estimate" not in words  # it is computed in seconds
    code, out, _ = run(*arguments, "--budget", "0.000001s", "--json")
    assert code == 0
    shown = json.loads(out)
    assert shown["rows"] == 2
    assert shown["left_out"] == read_table(path).header.left_out
    assert set(shown["left_out"].values()) == {"budget"}
    code, out, err = run(*arguments, "--json")
    assert code == 0
    assert json.loads(out)["left_out"] == {}
    assert json.loads(out)["rows"] == len(left_out) + 1
    assert "left out" not in err


def test_fresh_within_a_budget_is_refused_where_a_table_would_lose_rows(run, tmp_path):
    arguments = ("--device", "eyeriss", "--input", "1x9x9", "--ways", 2, "--out", tmp_path)
    path = tmp_path / "eyeriss-vgg9-1x9x9-2way.simulated.tsv"
    assert run(*arguments)[0] == 0
    before = path.read_bytes()
    code, _, err = run(*arguments, "--fresh", "--budget", "1m")
    assert code == 1
    assert "starting over within a budget could lose" in err
    assert "leave out --budget" in err
    assert path.read_bytes() == before
    assert list(tmp_path.glob("*.tsv*")) == [path]


def test_a_budgeted_table_can_be_estimated_whole(run, tmp_path):
    """With the command that the sweep says."""
    small = ("--input", "1x9x9", "--ways", 2)
    assert run("--device", "eyeriss", *small)[0] == 0
    settings = ("--budget-ms", 2, "--seed", 3, "--rounds", 1, "--out", tmp_path / "own")
    code, _, err = run("--device", "local", *small, *settings, "--budget", "1s")
    assert code == 0
    (said,) = [line for line in err.splitlines() if "metanas-profile estimate" in line]
    command = shlex.split(said[said.index("estimate ") :].replace("TABLE", "eyeriss"))
    code, out, err = run(*command, "--json")
    assert code == 0, err
    assert json.loads(out)["measured"] + json.loads(out)["estimated"] == ROWS


def test_energy_that_no_simulator_knows_is_refused(run, tmp_path):
    code, _, err = run("--device", "eyeriss", "--energy", "--out", tmp_path)
    assert code == 1
    assert "eyeriss is simulated: it does not model the energy of a call" in err
    assert not list(tmp_path.glob("*.tsv*"))


def test_a_device_that_does_not_tell_energy_is_named(folder, capsys):
    table = read_table(folder / NAME)
    header = replace(table.header, timer=table.header.timer | {"energy": True})
    Measured(folder / NAME, LatencyTable(header, table.rows), space_of(table), 1.0).show()
    assert "eyeriss does not tell the energy of a call" in capsys.readouterr().err


@pytest.mark.parametrize("names", ["eyeriss", "eyeriss,twin"])
def test_layers_that_cannot_be_timed_are_one_line_and_exit_code_1(
    run, monkeypatch, tmp_path, twin, names
):
    def refuse(layer):
        if layer.op == "head":
            raise MeasurementFailedError(f"{layer.key}: no room")

    real = SimulatedDevice.measure

    def measure(self, layers, settings):
        for layer, row in zip(layers, real(self, layers, settings), strict=True):
            refuse(layer)
            yield row

    monkeypatch.setattr(SimulatedDevice, "measure", measure)
    small = ("--input", "1x9x9", "--ways", 2, "--out", tmp_path)
    code, _, err = run("--device", names, *small)
    assert code == 1
    for name in names.split(","):
        left_out = read_table(tmp_path / f"{name}-vgg9-1x9x9-2way.simulated.tsv").header.left_out
        assert set(left_out.values()) == {"no room"}
        assert all(key.startswith("head/") for key in left_out)
        line = f"error: {name}: {len(left_out)} layers could not be timed and are left out: head/"
        (said,) = [said for said in err.splitlines() if line in said]
        assert said.endswith(": no room")


def test_a_second_sweep_of_one_table_is_refused(run, tmp_path):
    with exclusive(tmp_path / f"{NAME}.journal.jsonl"):
        code, out, err = run("--device", "eyeriss", "--out", tmp_path)
    assert (code, out) == (1, "")
    assert f"another command is at work on {tmp_path / NAME}" in err


def test_what_is_asked_for_goes_to_standard_output(run, folder):
    code, out, err = run("show", folder / NAME)
    assert code == 0
    assert err == ""
    assert "eyeriss: weight-stationary at 200 MHz" in out
    assert "2801 simulated" in out
    assert "2801 trusted, 0 noisy, 0 throttled" in out
    assert "5x5 convolution at 7x7, stride 1, pool 2" in out
    assert "head at 2x2, 1x1 map" in out
    heat = out[out.index("1x1 convolution at 28x28") :].splitlines()
    assert heat[1].split() == ["in", "\\", "out", "16", "32", "48", "64", "96", "128", "144"]
    assert heat[2].split()[0] == "1"


def test_shows_json(run, folder):
    code, out, _ = run("show", folder / NAME, "--json")
    shown = json.loads(out)
    assert code == 0
    assert len(shown["measurements"]) == shown["rows"] == ROWS
    assert shown["header"]["device"]["name"] == "eyeriss"


def test_lists_tables_and_names_broken_ones(run, folder, tmp_path):
    lines = (folder / NAME).read_text().splitlines()
    (tmp_path / "whole.tsv").write_text("\n".join(lines))
    head = [line for line in lines if line.startswith("# ")]
    (tmp_path / "torn.tsv").write_text("\n".join([*head, *lines[len(head) :][:3]]))
    (tmp_path / "other.tsv").write_text("a\tb\n")
    code, out, _ = run("list", "--out", tmp_path, "--json")
    assert code == 0
    listed = {entry["table"].rpartition("/")[2]: entry for entry in json.loads(out)}
    assert listed["whole.tsv"]["rows"] == ROWS
    assert listed["torn.tsv"]["rows"] == ROWS
    assert "format is None" in listed["other.tsv"]["error"]
    code, out, err = run("list", "--out", tmp_path)
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert ["other.tsv", "broken", "file"] in lines
    assert lines[-1][:2] == ["whole.tsv", "simulated"]
    (error,) = err.splitlines()
    assert error.startswith(f"error: {tmp_path / 'other.tsv'}")
    assert "format is None" in error


def test_an_empty_list_says_how_to_fill_it(run):
    code, out, _ = run("list")
    assert code == 0
    assert "metanas-profile --device local" in out


def test_compares_tables(run, folder):
    strided = next(folder.glob("*strided*"))
    code, out, err = run("diff", folder / NAME, folder / NAME)
    assert (code, err) == (0, "")
    assert out.startswith("2801 layers in both: median change +0.0%, 0 beyond")
    code, out, err = run("diff", folder / NAME, strided)
    assert code == 0
    assert out.startswith(f"{ROWS - 29} layers only in the first, {ROWS - 29} only in the second\n")
    assert f"warning: only 29 of {ROWS} layers are in both" in err
    code, out, _ = run("diff", folder / NAME, strided, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["common"] == 1 + 28
    assert len(found["removed"]) == len(found["added"]) == ROWS - 29


def test_shows_the_largest_changes(run, folder, tmp_path):
    slow = tmp_path / "slow.tsv"
    lines = (folder / NAME).read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("conv/"))
    key, *cells = lines[place].split("\t")
    doubled = [str(2 * float(cell)) for cell in cells[:5]]
    slow.write_text("\n".join([*lines[:place], "\t".join([key, *doubled, *cells[5:]])]))
    assert run("diff", folder / NAME, slow)[0] == 1  # the rest of the file is missing
    rest = lines[place + 1 :]
    slow.write_text("\n".join([*lines[:place], "\t".join([key, *doubled, *cells[5:]]), *rest]))
    code, out, _ = run("diff", folder / NAME, slow)
    assert code == 0
    assert "1 beyond noise, 2800 within" in out
    assert f"{key}" in out
    assert "+100.0%" in out


def test_merges_tables(run, folder, tmp_path):
    strided = next(folder.glob("*strided*"))
    both = tmp_path / "both.tsv"
    code, out, _ = run("merge", folder / NAME, strided, "--out", both, "--json")
    assert code == 0
    assert json.loads(out)["rows"] == len(read_table(both).rows) == 2 * ROWS - 29
    assert json.loads(out)["conflicts"] == []
    assert not diff(read_table(folder / NAME), read_table(both)).removed
    assert run("merge", folder / NAME, strided, "--out", both)[0] == 0


def test_refuses_to_merge_tables_of_different_devices(run, folder, tmp_path):
    other = tmp_path / "other.tsv"
    other.write_text((folder / NAME).read_text().replace('"eyeriss"', '"another"'))
    code, _, err = run("merge", folder / NAME, other, "--out", tmp_path / "both.tsv")
    assert code == 1
    assert "device name: eyeriss and another" in err
    assert not (tmp_path / "both.tsv").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "say which device to measure"),
        (["--device", "eyeriss", "--input", "28x28"], 2, "'28x28' is no image shape"),
        (["--device", "eyeriss", "--input", "0x28x28"], 2, "no image shape"),
        (["--device", "eyeriss", "--space", "resnet99"], 2, "choose from vgg9"),
        (["--device", "eyeriss", "--downsampling", "halved"], 2, "pooled or strided"),
        (["--device", "eyeriss", "--ways", "0"], 2, "ways"),
        (["--device", "eyeriss", "--input", "1x99999x9"], 2, "--input: '1x99999x9' is too large"),
        (["--device", "eyeriss", "--budget-ms", "-3"], 2, "budget-ms"),
        (["--device", "eyeriss", "--budget-ms", "inf"], 2, "--budget-ms"),
        (["--device", "eyeriss", "--budget-ms", "nan"], 2, "--budget-ms"),
        (["--device", "eyeriss", "--seed", str(2**63)], 2, "--seed"),
        (["--device", "eyeriss", "--batch", "65537"], 2, "--batch"),
        (["--device", "eyeriss", "--threads", "65537"], 2, "--threads"),
        (["--device", "eyeriss", "--budget", "10"], 2, "--budget: '10' is no duration; write 90s"),
        (["--device", "eyeriss", "--interval", "0"], 2, "--interval: '0' is no share; write 1%"),
        (["--device", "eyeriss", "--energy", "--cache", "cold"], 2, "energy of calls with a cold"),
        (["--device", "eyeriss", "--cache", "hot"], 2, "'hot'; choose warm or cold"),
        (["--device", "eyeriss", "--dtype", "int4"], 2, "'int4'; choose float32 or int8"),
        (["--device", "eyeriss", "--dtype", "int8"], 1, "does not tell int8 from float32"),
        (["--device", "eyeriss", "--threads", "0"], 2, "threads"),
        (["--device", "eyeriss", "--seed", "one"], 2, "seed"),
        (["measure"], 2, "No such command"),
        (["show"], 2, "argument"),
        (["--device", "nothing"], 1, "unknown device 'nothing'"),
        (["--device", "127.0.0.1:9"], 1, "127.0.0.1:9"),
        (["show", "absent"], 1, "no table 'absent'"),
        (["diff", "absent", "absent"], 1, "no table 'absent'"),
    ],
)
def test_bad_input_gives_one_clear_message(run, arguments, code, said):
    exit_code, out, err = run(*arguments)
    assert exit_code == code
    assert out == ""
    assert said in err


def test_a_broken_table_is_named_with_its_line(run, folder, tmp_path):
    broken = tmp_path / "broken.tsv"
    lines = (folder / NAME).read_text().splitlines()
    broken.write_text("\n".join([*lines[:99], "nonsense", *lines[100:]]))
    code, _, err = run("show", broken)
    assert code == 1
    assert f"{broken}, line 100: not a row" in err


def test_a_folder_that_cannot_be_made_is_named(run, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = run("--device", "eyeriss", "--out", tmp_path / "file" / "below")
    assert code == 1
    assert str(tmp_path / "file") in err


def test_help_is_for_strangers(run):
    code, out, _ = run("--help")
    assert code == 0
    for word in (
        "--budget",
        "--cache",
        "--interval",
        "--threads",
        "--device",
        "--energy",
        "--input",
        "list",
        "show",
        "diff",
        "merge",
        "Examples",
    ):
        assert word in out


@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_stopped_at_any_instant_it_goes_on(run, tmp_path, folder, how, code):
    """Stopped in the middle of a sweep, the rerun keeps what was timed."""
    arguments = ["--device", "eyeriss", "--out", str(tmp_path)]
    journal = tmp_path / f"{NAME}.journal.jsonl"
    with subprocess.Popen(
        [sys.executable, "-m", "metanas.cli.profile", *arguments], stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while not journal.exists() or journal.read_bytes().count(b"\n") < 50:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(how)
        _, err = process.communicate()
    assert process.returncode == code
    assert "Traceback" not in err
    assert ("the same command goes on from here" in err) == (how == signal.SIGINT)
    kept = journal.read_bytes().rpartition(b"\n")[0]
    assert not (tmp_path / NAME).exists()
    assert run("--device", "eyeriss", "--out", tmp_path, "--budget-ms", 7)[0] == 1
    assert journal.read_bytes().startswith(kept)
    assert run(*arguments)[0] == 0
    assert not journal.exists()
    assert read_table(tmp_path / NAME).rows == read_table(folder / NAME).rows
