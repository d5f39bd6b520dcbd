"""Searches that are killed and gone on with, and journals that are not theirs."""

import json
from dataclasses import replace

import pytest

from metanas.errors import CheckpointError, SettingsMismatchError
from metanas.parallel import Group
from metanas.search import GeneticSearch

ALONE = Group()
LIMITS = ("latency_ms[wide]<=30%", "params<=6%")

pytestmark = pytest.mark.usefixtures("one_thread")


class Stopped(Exception):
    """Somebody pressed a key."""


def stop_after(rounds):
    def observe(line):
        if line.round + 1 == rounds:
            raise Stopped

    return observe


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_an_interrupted_search_ends_as_if_it_had_not_been(
    make_plan, journal, tmp_path, lines_of, evaluated, stopped_after
):
    plan = make_plan(*LIMITS)
    whole = GeneticSearch(plan, tmp_path / "whole.jsonl").run(ALONE)
    taken = len(evaluated)
    with pytest.raises(Stopped):
        GeneticSearch(plan, journal).run(ALONE, observer=stop_after(stopped_after))
    evaluated.clear()
    seen = []
    resumed = GeneticSearch(plan, journal).run(ALONE, observer=seen.append)
    assert resumed == whole
    assert lines_of() == lines_of(tmp_path / "whole.jsonl")
    assert [line.round for line in seen] == list(range(stopped_after, 3))
    assert len(evaluated) < taken


def test_a_torn_last_line_costs_one_round(make_plan, journal, tmp_path, lines_of):
    plan = make_plan(*LIMITS)
    whole = GeneticSearch(plan, tmp_path / "whole.jsonl").run(ALONE)
    lines = (tmp_path / "whole.jsonl").read_bytes()
    journal.write_bytes(lines[:-40])
    assert GeneticSearch(plan, journal).run(ALONE) == whole
    assert lines_of() == lines_of(tmp_path / "whole.jsonl")


def test_a_torn_header_is_begun_anew(make_plan, journal, lines_of):
    plan = make_plan(*LIMITS)
    journal.write_text('{"settings": {"popu')
    GeneticSearch(plan, journal).run(ALONE)
    assert len(lines_of()[1]) == 3


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"population": 8}, "population was 6, not 8"),
        ({"seed": 1}, "seed was 0, not 1"),
        ({"context": {"data": "others"}}, "data was None, not 'others'"),
    ],
)
def test_other_settings_are_refused(make_plan, journal, changed, named):
    GeneticSearch(make_plan(*LIMITS, rounds=1), journal).run(ALONE)
    kept = journal.read_bytes()
    with pytest.raises(SettingsMismatchError) as caught:
        GeneticSearch(make_plan(*LIMITS, **{"rounds": 1} | changed), journal).run(ALONE)
    assert named in str(caught.value)
    assert journal.read_bytes() == kept


def test_other_constraints_are_refused(make_plan, journal):
    plan = make_plan("params<=60000", rounds=1)
    GeneticSearch(plan, journal).run(ALONE)
    kept = journal.read_bytes()
    for other in (
        make_plan("params<=60000.5", rounds=1),
        make_plan("params<=60000", "macs<=1M", rounds=1),
        make_plan(rounds=1),
        replace(plan, query_norm="deployed"),
    ):
        with pytest.raises(SettingsMismatchError):
            GeneticSearch(other, journal).run(ALONE)
    assert journal.read_bytes() == kept


@pytest.mark.parametrize(
    "text", ["[1, 2]\n", '{"round": 0}\n', "nonsense\n", '{"settings": {\n1\n']
)
def test_a_file_that_is_no_journal_is_refused(make_plan, journal, text):
    journal.write_text(text)
    with pytest.raises(CheckpointError, match=r"search\.jsonl"):
        GeneticSearch(make_plan(), journal).run(ALONE)
    assert journal.read_text() == text


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("losses", None, "losses is missing"),
        ("losses", [1.0], "lists of different length"),
        ("tasks", ["many"] * 6, r"tasks\[0\] is 'many', not an integer"),
    ],
)
def test_a_round_that_is_none_is_refused(make_plan, journal, field, value, told):
    GeneticSearch(make_plan(rounds=1), journal).run(ALONE)
    header, line = journal.read_text().splitlines()
    broken = json.loads(line) | {field: value}
    if value is None:
        del broken[field]
    text = f"{header}\n{json.dumps(broken)}\n"
    journal.write_text(text)
    with pytest.raises(CheckpointError, match=told):
        GeneticSearch(make_plan(rounds=1), journal).run(ALONE)
    assert journal.read_text() == text
