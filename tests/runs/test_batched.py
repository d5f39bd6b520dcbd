"""A table of several images a call gets into no search."""

import dataclasses

import pytest

from metanas.errors import BatchTableError
from metanas.parallel import Workers
from metanas.profiling import LatencyTable, read_table, write_table
from metanas.runs import RunFolder, search
from metanas.search import SearchSettings


@pytest.fixture
def batched(table_file, tmp_path):
    table = read_table(table_file)
    header = dataclasses.replace(table.header, timer={**table.header.timer, "batch": 8})
    path = tmp_path / "array-batch-8.simulated.tsv"
    write_table(LatencyTable(header, table.rows), path)
    return path


def test_it_does_not_get_into_a_run_folder(batched, settings, tmp_path):
    folder = RunFolder.create(tmp_path / "run", settings)
    with pytest.raises(BatchTableError, match="timed with 8 images a call"):
        folder.keep_table(batched, allow_emulated=True)
    assert folder.tables == {}


def test_one_that_is_there_is_not_searched_with(batched, settings, tmp_path):
    folder = RunFolder.create(tmp_path / "run", settings)
    folder.table("array").parent.mkdir(parents=True, exist_ok=True)
    folder.table("array").write_bytes(batched.read_bytes())
    with Workers(1) as workers, pytest.raises(BatchTableError):
        search(workers, folder, ("latency_ms<=50%",), SearchSettings(population=4, rounds=1))
