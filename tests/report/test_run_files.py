from __future__ import annotations

import json

import pytest

from metanas.errors import RunFolderError, TableError
from metanas.report import read_run

NAMES = [
    "run.json",
    "table.tsv",
    "supernet.metrics.jsonl",
    "found.metrics.jsonl",
    "baseline.metrics.jsonl",
    "search.jsonl",
    "search.json",
    "evaluation.json",
    "verify.json",
    "model.onnx",
]


def test_whole_run_misses_nothing(whole_run):
    run = read_run(whole_run)
    assert run.missing == {}
    assert list(run.training) == ["supernet", "found", "baseline"]
    assert {len(steps) for steps in run.training.values()} == {120}
    assert len(run.rounds) == 20
    assert run.search.evaluated == 480
    assert run.evaluation.found.architecture == run.search.winner
    assert len(run.table.rows) == 2801
    assert run.verification.passed


@pytest.mark.parametrize("name", NAMES)
def test_each_file_may_be_absent(new_run, name):
    folder = new_run("run")
    (folder / name).unlink()
    assert list(read_run(folder).missing) == [name]


def test_folder_of_something_else_is_no_run(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(RunFolderError, match="is not a run folder"):
            read_run(folder)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "model.onnx"])
@pytest.mark.parametrize("content", [b"{nonsense}\n", b"[1, 2]\n", b"{}\n", b"\xff\xfe\n"])
def test_malformed_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises((RunFolderError, TableError), match=name):
        read_run(tmp_path)
    assert (tmp_path / name).read_bytes() == content


def test_message_names_the_line_and_the_field(tmp_path):
    good = json.dumps({"step": 1, "loss": 1.0, "accuracy": 0.5})
    bad = json.dumps({"step": 2, "loss": "much", "accuracy": 0.5})
    (tmp_path / "found.metrics.jsonl").write_text(f"{good}\n{bad}\n")
    with pytest.raises(RunFolderError, match=r"found\.metrics\.jsonl, line 2: loss is 'much'"):
        read_run(tmp_path)


def test_lists_of_a_round_must_be_as_long_as_its_architectures(whole_run, tmp_path):
    line = json.loads((whole_run / "search.jsonl").read_text().splitlines()[0])
    line["latency_ms"].pop()
    (tmp_path / "search.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(RunFolderError, match="latency_ms has 23 values for 24 architectures"):
        read_run(tmp_path)


def test_half_written_last_line_is_left_alone(tmp_path):
    path = tmp_path / "supernet.metrics.jsonl"
    text = '{"step": 1, "loss": 1.0, "accuracy": 0.5}\n{"step": 2, "lo'
    path.write_text(text)
    assert [step.step for step in read_run(tmp_path).training["supernet"]] == [1]
    assert path.read_text() == text
