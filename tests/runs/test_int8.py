"""A search on an int8 table, and int8 beside float32 on this machine."""

import dataclasses
import json

import onnx
import pytest

from metanas.deploy import Paired, read_trial
from metanas.devices import LocalAgent
from metanas.errors import TableMismatchError
from metanas.meta import OuterSettings
from metanas.parallel import Workers
from metanas.profiling import (
    profile,
    read_table,
    table_dtype,
)
from metanas.runs import RunFolder, quantisation, quantise_on, search, train_network, train_supernet
from metanas.search import SearchSettings, ShrinkingSettings
from metanas_agent.layers import dtypes_of, parse_layer
from metanas_agent.timer import TimerSettings

OUTER = OuterSettings(epochs=1, iterations=2, tasks=2, inner_steps=1)
QUICK = TimerSettings(budget_ms=1, min_samples=1, sample_ms=0.01)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def device():
    with LocalAgent() as agent:
        yield agent


@pytest.fixture(scope="module")
def int8_table(device, settings, glyphs, tmp_path_factory):
    """Every layer of the space, timed on this machine in int8."""
    path = tmp_path_factory.mktemp("tables") / "local.tsv"
    profile(device, settings.make_space(glyphs, dtype="int8"), QUICK, path, rounds=1)
    return path


@pytest.fixture(scope="module")
def workers():
    with Workers(1) as one:
        yield one


@pytest.fixture(scope="module")
def run(workers, settings, int8_table, tmp_path_factory):
    """A run folder with a super-network that has seen four tasks, and the int8 table."""
    folder = RunFolder.create(tmp_path_factory.mktemp("int8") / "run", settings)
    train_supernet(workers, folder, OUTER, ShrinkingSettings(start_epoch=0, end_epoch=1))
    folder.keep_table(int8_table)
    return folder


def test_the_table_is_of_int8_layers(int8_table):
    table = read_table(int8_table)
    assert table_dtype(int8_table) == "int8"
    assert dtypes_of(map(parse_layer, table.rows)) == {"int8"}
    assert table.header.left_out == {}
    assert "int8" in table.header.device.dtypes["onnx"]


def test_a_search_on_it_counts_int8(workers, run, glyphs, settings):
    result = search(
        workers,
        run,
        ("latency_ms<=80%", "memory_bytes<=60%"),
        SearchSettings(population=4, rounds=1, tasks=1, finalists=1, final_tasks=1, queries=1),
    )
    space = settings.make_space(glyphs, dtype="int8")
    table = read_table(run.table("local"))
    genes = space.encode([space.parse(result.winner.architecture)])
    costs = result.winner.costs
    assert costs["latency_ms[local]"] == pytest.approx(table.latency_ms(space, genes)[0])
    assert costs["memory_bytes"] == space.memory_bytes(genes)[0]


def test_tables_of_two_dtypes_are_not_searched_together(run, glyphs, table_file, tmp_path):
    mixed = RunFolder.create(tmp_path / "run", run.settings)
    assert mixed.priced_space(glyphs).dtype == "float32"
    mixed.keep_table(table_file)
    assert mixed.priced_space(glyphs).dtype == "float32"
    mixed.keep_table(run.table("local"))
    with pytest.raises(TableMismatchError, match="array: float32, local: int8"):
        mixed.priced_space(glyphs)


ARCHITECTURE = "k3c64relu-k3c64relu"


@pytest.fixture(scope="module")
def trial(workers, run, device):
    train_network(workers, run, "found", ARCHITECTURE, OUTER)
    done = []
    result = quantise_on(device, run, QUICK, tasks=6, observer=done.append)
    assert done == [1, 2, 3, 4, 5, 6]
    return result


def test_int8_is_tried_on_the_device_and_kept_only_if_it_wins(run, trial):
    assert read_trial(run.quantisation) == trial
    assert trial.images == 6 * 3 * 2
    assert trial.top1 > 0.8
    assert run.int8_model.exists() == trial.kept
    if trial.kept:
        model = onnx.load(run.int8_model)
        assert {prop.key: prop.value for prop in model.metadata_props}["dtype"] == "int8"


def test_what_the_int8_table_promised_stands_beside(run, trial):
    space = run.priced_space(run.settings.load_data())
    genes = space.encode([space.parse(ARCHITECTURE)])
    table = read_table(run.table("local"))
    assert trial.predicted is not None
    assert trial.predicted.memory_bytes == space.memory_bytes(genes)[0]
    assert trial.predicted.latency_ms == pytest.approx(table.latency_ms(space, genes)[0])


@pytest.mark.parametrize("most_loss", [1.0, -1.0])
def test_the_file_is_there_only_while_int8_is_worth_it(run, trial, device, monkeypatch, most_loss):
    faster = Paired(value=2.0, low=2.0, high=2.0)
    decided = dataclasses.replace(trial, most_loss=most_loss, speed_up=faster, throttled=0)
    monkeypatch.setattr(quantisation, "try_int8", lambda *_, **__: (decided, b"int8"))
    monkeypatch.setattr(quantisation, "export", lambda *_, **__: [])
    run.int8_model.write_bytes(b"of another time")
    assert quantise_on(device, run, QUICK, tasks=6).kept == (most_loss > 0)
    assert json.loads(run.quantisation.read_text())["kept"] is (most_loss > 0)
    if most_loss > 0:
        assert run.int8_model.read_bytes() == b"int8"
    else:
        assert not run.int8_model.exists()
