"""`metanas-profile` show, export and diff, on a table that a simulator made."""

import csv
import dataclasses
import json
import re
import subprocess
import sys

import pytest
from PIL import Image

from metanas.profiling import Calibration, LatencyTable, read_table, write_table
from support.profile_command import ended

NAME = "eyeriss-vgg9-1x9x9-2way.simulated.tsv"


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    arguments = ("--device", "eyeriss", "--input", "1x9x9", "--ways", 2, "--out", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        assert ended(patch, *arguments) == 0
    return folder / NAME


def test_exports_csv_and_parquet(run, table, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an extra")
    rows = len(read_table(table).rows)
    files = (tmp_path / "rows.csv", tmp_path / "rows.parquet")
    code, out, err = run("export", table, "--csv", files[0], "--parquet", files[1])
    assert (code, out) == (0, "")
    assert f"{rows} rows: {files[0]} and {files[1]}" in err
    with files[0].open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == rows
    assert parquet.read_table(files[1]).num_rows == rows


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "say what to write"),
        (["--csv", "{}/file/rows.csv"], 1, "{}/file"),
        (["--csv", "{}"], 1, "Is a directory: {}\n"),
        (["--parquet", "{}"], 1, "Is a directory: {}\n"),
    ],
)
def test_export_that_cannot_be_is_one_clear_message(run, table, tmp_path, arguments, code, said):
    (tmp_path / "file").touch()
    filled = [argument.format(tmp_path) for argument in arguments]
    ended_with, out, err = run("export", table, *filled)
    assert (ended_with, out) == (code, "")
    assert said.format(tmp_path) in err
    assert "Traceback" not in err


def test_a_wrong_path_is_told_where_pyarrow_is_missing_too(run, table, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert f"Is a directory: {tmp_path}\n" in run("export", table, "--parquet", tmp_path)[2]
    code, _, err = run("export", table, "--parquet", tmp_path / "rows.parquet")
    assert code == 1
    assert "Parquet files need pyarrow" in err
    assert not list(tmp_path.iterdir())


def test_shows_a_picture_too(run, table, tmp_path):
    code, out, _ = run("show", table, "--png", tmp_path / "table.png")
    assert code == 0
    assert "3x3 convolution at 9x9, stride 1, pool 2" in out
    with Image.open(tmp_path / "table.png") as picture:
        assert picture.format == "PNG"


def test_a_picture_is_named_as_what_it_is(run, table, tmp_path):
    code, out, err = run("show", table, "--png", tmp_path / "table.pdf")
    assert (code, out) == (2, "")
    assert "--png" in err
    assert not list(tmp_path.iterdir())


def test_json_knows_memory_and_size_of_each_layer(run, table):
    code, out, _ = run("show", table, "--json")
    assert code == 0
    layers = {row["layer"]: row for row in json.loads(out)["measurements"]}
    row = layers["conv/1x9x9/c16/k3/s1/relu/p2/float32"]
    assert row["size_bytes"] == 4 * 16 * (9 + 3)
    # The convolution's output, and the larger of its input and of what pooling leaves of it.
    assert row["memory_bytes"] == row["size_bytes"] + 4 * 16 * (9 * 9 + 5 * 5)


def test_merge_says_that_a_calibration_is_dropped(run, table, tmp_path):
    loaded = read_table(table)
    line = Calibration(1.1, 0.0, 20, 0.01, 0.02)
    header = dataclasses.replace(loaded.header, calibration=line)
    calibrated, out = tmp_path / "calibrated.tsv", tmp_path / "[union].tsv"
    write_table(LatencyTable(header, loaded.rows), calibrated)
    code, _, err = run("merge", table, calibrated, "--out", out)
    assert code == 0
    assert f"dropped the calibration of {calibrated}: " in err
    assert f"{len(loaded.rows)} rows; 0 were in both with different values" in err
    assert str(out) in err
    code, _, err = run("merge", table, table, "--out", out)
    assert code == 0
    assert "calibration" not in err
    assert read_table(out).header.made["command"] != loaded.header.made["command"]


def test_merge_writes_what_list_finds(run, table, tmp_path):
    code, _, err = run("merge", table, table, "--out", tmp_path / "both.csv")
    assert code == 2
    assert "--out" in err
    assert ".tsv" in err
    assert not list(tmp_path.iterdir())


def test_merge_into_a_folder_names_the_folder(run, table, tmp_path):
    code, _, err = run("merge", table, table, "--out", tmp_path)
    assert code == 1
    assert f"Is a directory: {tmp_path}\n" in err


def test_a_table_with_a_broken_section_is_one_clear_message(run, table, tmp_path):
    broken = tmp_path / "broken.tsv"
    broken.write_text(table.read_text().replace("# [timer]", "# [clock]", 1))
    code, out, err = run("show", broken)
    assert (code, out) == (1, "")
    assert f"{broken}: the header is broken: there is no [timer]" in err
    assert run("list", "--out", tmp_path)[0] == 0


def test_says_what_is_more_than_noise(run, table, tmp_path):
    lines = table.read_text().splitlines()
    place = next(at for at, line in enumerate(lines) if line.startswith("conv/"))
    key, *cells = lines[place].split("\t")
    slower = [str(2 * float(cell)) for cell in cells[:5]]
    lines[place] = "\t".join([key, *slower, *cells[5:]])
    (tmp_path / "after.tsv").write_text("\n".join(lines))
    code, out, _ = run("diff", table, tmp_path / "after.tsv", "--json")
    assert code == 0
    found = json.loads(out)
    assert [change["key"] for change in found["beyond_noise"]] == [key]
    assert found["sentinel_spreads"] == [0, 0]


def test_names_to_copy_stand_in_one_line(run, table, monkeypatch):
    """At a narrow terminal too."""
    monkeypatch.setenv("COLUMNS", "30")
    for at_terminal in (False, True):
        monkeypatch.setattr("sys.stdout.isatty", lambda: at_terminal)  # noqa: B023 - at once
        code, out, err = run("list", "--out", table.parent)
        assert (code, err) == (0, "")
        _, line = out.splitlines()
        assert line.split()[:3] == [NAME, "simulated", str(len(read_table(table).rows))]
        assert line.rstrip().endswith("weight-stationary at 200 MHz")


def test_only_a_terminal_gets_wrapped_lines(run, table, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    whole = run("show", table)[1].splitlines()
    assert max(map(len, whole)) > 100
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", run("show", table)[1])
    assert max(map(len, shown.splitlines())) <= 60


def test_a_reader_that_stops_reading_is_no_traceback(table):
    command = f"{sys.executable} -m metanas.cli.profile show {table} | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("device ")
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["nosuch", "file"])
def test_only_a_folder_has_a_list(run, tmp_path, name):
    (tmp_path / "file").touch()
    code, out, err = run("list", "--out", tmp_path / name)
    assert (code, out) == (2, "")
    assert "--out" in err
    assert name in err
