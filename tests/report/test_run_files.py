from __future__ import annotations

import json

import pytest

from metanas.errors import RunFolderError, TableError
from metanas.report import read_run

NAMES = [
    "run.json",
    "tables/local.tsv",
    "supernet.metrics.jsonl",
    "found.metrics.jsonl",
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
    validated = [s.step for s in run.training["found"] if s.val_accuracy is not None]
    assert validated == [19, 39, 59, 79, 99, 119]
    assert all(step.val_accuracy is None for step in run.training["supernet"])
    assert len(run.rounds) == 20
    assert run.search.evaluated == 480
    assert list(run.networks) == ["found", "baseline"]
    assert run.networks["found"].architecture == run.search.winner.architecture
    assert list(map(str, run.search.constraints)) == [
        "latency_ms[local]<=0.6",
        "size_bytes<=400000",
    ]
    assert len(run.table.rows) == 2801
    assert run.verification.passed


@pytest.mark.parametrize("name", NAMES)
def test_each_file_may_be_absent(new_run, name):
    folder = new_run("run")
    (folder / name).unlink()
    assert list(read_run(folder).missing) == [name.replace("local", "*")]


def test_folder_of_something_else_is_no_run(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(RunFolderError, match="is not a run folder"):
            read_run(folder)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "model.onnx"])
@pytest.mark.parametrize(
    "content", [b"{nonsense}\n", b"[1, 2]\n", b'{"found": {}}\n', b"\xff\xfe\n"]
)
def test_malformed_file_is_named(tmp_path, name, content):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    with pytest.raises((RunFolderError, TableError), match=name):
        read_run(tmp_path)
    assert (tmp_path / name).read_bytes() == content


def test_message_names_the_line_and_the_field(tmp_path):
    good = json.dumps({"step": 1, "accuracy": 0.5})
    bad = json.dumps({"step": 2, "accuracy": "much"})
    (tmp_path / "found.metrics.jsonl").write_text(f"{good}\n{bad}\n")
    with pytest.raises(RunFolderError, match=r"found\.metrics\.jsonl, line 2: accuracy is 'much'"):
        read_run(tmp_path)


def test_lists_of_a_round_must_be_as_long_as_its_architectures(whole_run, tmp_path):
    header, text = (whole_run / "search.jsonl").read_text().splitlines()[:2]
    line = json.loads(text)
    line["costs"]["macs"].pop()
    (tmp_path / "search.jsonl").write_text(f"{header}\n{json.dumps(line)}\n")
    with pytest.raises(RunFolderError, match="line 2: macs has 23 values for 24 architectures"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("search.json", {"front": []}, "front is empty"),
        ("search.json", {"front_cost": "latency_ms[pi0]"}, r"costs lacks latency_ms\[pi0\]"),
        ("evaluation.json", {"found": {}}, "found.architecture is missing"),
    ],
)
def test_values_that_a_report_needs_are_asked_for(whole_run, tmp_path, name, change, told):
    values = json.loads((whole_run / name).read_text()) | change
    (tmp_path / name).write_text(json.dumps(values))
    with pytest.raises(RunFolderError, match=f"{name}: {told}"):
        read_run(tmp_path)


def test_table_of_the_constrained_device_comes_first(new_run):
    folder = new_run("run")
    local = folder / "tables" / "local.tsv"
    text = local.read_text().replace('name = "local"', 'name = "board"')
    (folder / "tables" / "board.tsv").write_text(text)
    run = read_run(folder)
    assert (run.table.header.device.name, run.other_tables) == ("local", ("board",))
    (folder / "search.json").unlink()
    run = read_run(folder)
    assert (run.table.header.device.name, run.other_tables) == ("board", ("local",))


def test_networks_of_any_name_follow_the_found_one(new_run):
    folder = new_run("run")
    (folder / "baseline.metrics.jsonl").rename(folder / "a.metrics.jsonl")
    evaluation = json.loads((folder / "evaluation.json").read_text())
    evaluation["a"] = evaluation.pop("baseline")
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    run = read_run(folder)
    assert list(run.training) == ["supernet", "found", "a"]
    assert list(run.networks) == ["found", "a"]
    assert run.missing == {}


def test_search_at_work_already_tells_its_cost(whole_run, tmp_path):
    header, first = (whole_run / "search.jsonl").read_text().splitlines()[:2]
    journal = tmp_path / "search.jsonl"
    journal.write_text(f"{header}\n")
    run = read_run(tmp_path)
    assert (run.rounds, run.main_cost, run.search_settings["rounds"]) == ((), "macs", 20)
    journal.write_text(f"{header}\n{first}\n")
    assert read_run(tmp_path).main_cost == "latency_ms[local]"


def test_half_written_last_line_is_left_alone(tmp_path):
    path = tmp_path / "supernet.metrics.jsonl"
    text = '{"step": 1, "accuracy": 0.5}\n{"step": 2, "acc'
    path.write_text(text)
    assert [step.step for step in read_run(tmp_path).training["supernet"]] == [1]
    assert path.read_text() == text
