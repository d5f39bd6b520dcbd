"""Searches that begin with what others found, and that look for a whole front."""

import json
from dataclasses import replace

import pytest

from metanas.errors import ArchitectureError, ConstraintSyntaxError, RunFolderError
from metanas.files import write_json
from metanas.meta import OuterSettings
from metanas.parallel import Workers
from metanas.runs import RunFolder, search, train_supernet
from metanas.search import SearchSettings, ShrinkingSettings

SEARCH = SearchSettings(population=4, rounds=1, tasks=1, finalists=2, final_tasks=1)
GOOD = "k3c64elu-k1c64relu"


@pytest.fixture(scope="module")
def workers():
    with Workers(1) as workers:
        yield workers


@pytest.fixture(scope="module")
def trained(settings, glyphs, workers, tmp_path_factory):
    folder = RunFolder.create(tmp_path_factory.mktemp("trained") / "run", settings)
    outer = OuterSettings(epochs=1, iterations=1, tasks=1, inner_steps=1)
    train_supernet(workers, folder, outer, ShrinkingSettings(start_epoch=1, end_epoch=1))
    return folder


@pytest.fixture
def run(trained, tmp_path):
    folder = RunFolder.create(tmp_path / "new", trained.settings)
    folder.take_over(trained, "supernet")
    return folder


@pytest.fixture
def earlier(settings, tmp_path):
    """A run folder that holds nothing but its settings, and a function to give it a search."""
    folder = RunFolder.create(tmp_path / "earlier", replace(settings, ways=5))

    def with_search(found):
        write_json(folder.search, found)
        return folder

    return with_search


def found(*texts):
    candidates = [{"architecture": text} for text in texts]
    return {"finalists": candidates[:2], "front": candidates[1:]}


def first_population(folder):
    header, line = folder.search_journal.read_text().splitlines()[:2]
    return json.loads(header)["settings"]["warm_start"], json.loads(line)["architectures"]


def test_a_search_begins_with_the_finalists_and_the_front_of_another(workers, run, earlier):
    texts = [GOOD, "k1c64relu", "k5c64elu-k5c64elu"]  # the last has too many parameters
    result = search(workers, run, ["params<=20k"], SEARCH, warm_start=[earlier(found(*texts))])
    begun, population = first_population(run)
    assert begun == texts
    assert population[:2] == texts[:2]
    assert len(population) == 4
    assert result.evaluated == 4


def test_a_run_without_a_search_is_no_warm_start(workers, run, trained):
    with pytest.raises(RunFolderError, match=r"search\.json does not exist"):
        search(workers, run, ["params<=20k"], SEARCH, warm_start=[trained])
    assert not run.search_journal.exists()


@pytest.mark.parametrize("broken", [[], {"finalists": []}, {"finalists": [1], "front": []}])
def test_a_broken_search_is_no_warm_start(workers, run, earlier, broken):
    with pytest.raises(RunFolderError, match="no result of a search"):
        search(workers, run, ["params<=20k"], SEARCH, warm_start=[earlier(broken)])
    assert not run.search_journal.exists()


def test_another_space_is_no_warm_start(workers, run, earlier):
    with pytest.raises(ArchitectureError, match="k3c96elu is of another space"):
        search(workers, run, ["params<=20k"], SEARCH, warm_start=[earlier(found("k3c96elu"))])
    assert not run.search_journal.exists()


def test_the_front_is_against_what_was_asked(workers, run):
    result = search(workers, run, ["params<=20k"], SEARCH, front=["macs", "memory_bytes"])
    kept = json.loads(run.search.read_text())
    assert kept["front_cost"] == "macs"
    assert kept["front_costs"] == list(result.front_costs) == ["macs", "memory_bytes"]
    assert [c["architecture"] for c in kept["front"]] == [c.architecture for c in result.front]


def test_a_latency_without_a_table_is_no_cost(workers, run):
    with pytest.raises(ConstraintSyntaxError, match="unknown cost 'latency_ms'") as caught:
        search(workers, run, ["params<=20k"], SEARCH, front=["latency_ms"])
    assert "memory_bytes" in str(caught.value.hint)
    assert not run.search_journal.exists()
