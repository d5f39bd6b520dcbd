"""A table that was timed under an emulator is used only by who asks for it."""

import dataclasses

import pytest

from metanas.errors import CheckpointError, EmulatedTableError
from metanas.parallel import Workers
from metanas.profiling import LatencyTable, read_table, refuse_emulated, write_table
from metanas.runs import RunFolder, search
from metanas.search import SearchSettings

SEARCH = SearchSettings(population=4, rounds=1, tasks=1)
LIMITS = ("latency_ms<=50%",)


@pytest.fixture
def emulated(table_file, tmp_path):
    table = read_table(table_file)
    rows = {k: dataclasses.replace(row, source="emulated") for k, row in table.rows.items()}
    path = tmp_path / "array.emulated.tsv"
    write_table(LatencyTable(table.header, rows), path)
    return path


def test_measured_and_simulated_tables_pass(table_file):
    refuse_emulated(table_file)


def test_it_does_not_get_into_a_run_folder(emulated, settings, tmp_path):
    folder = RunFolder.create(tmp_path / "run", settings)
    with pytest.raises(EmulatedTableError, match=r"array\.emulated\.tsv.*--allow-emulated"):
        folder.keep_table(emulated)
    assert folder.tables == {}
    folder.keep_table(emulated, allow_emulated=True)
    assert read_table(folder.table("array")).shared("source") == "emulated"


def test_one_that_is_there_is_asked_for_each_time(emulated, settings, tmp_path):
    folder = RunFolder.create(tmp_path / "run", settings)
    folder.keep_table(emulated, allow_emulated=True)
    with Workers(1) as workers:
        with pytest.raises(EmulatedTableError):
            search(workers, folder, LIMITS, SEARCH)
        with pytest.raises(CheckpointError):  # that far it came: nothing is trained yet
            search(workers, folder, LIMITS, SEARCH, allow_emulated=True)
