import dataclasses

import pytest

from metanas.errors import BatchTableError, EmulatedTableError, TableError
from metanas.profiling import (
    LatencyTable,
    refuse_batched,
    refuse_emulated,
    table_dtype,
    write_table,
)


@pytest.fixture
def written(table, tmp_path):
    """The path of the table, with other rows or another timer."""

    def write(*, source="simulated", **timer):
        rows = {key: dataclasses.replace(row, source=source) for key, row in table.rows.items()}
        header = dataclasses.replace(table.header, timer={**table.header.timer, **timer})
        path = tmp_path / "other.tsv"
        write_table(LatencyTable(header, rows), path)
        return path

    return write


def test_a_table_of_several_images_a_call_is_refused(written):
    with pytest.raises(BatchTableError, match=r"other\.tsv was timed with 32 images.*--batch"):
        refuse_batched(written(batch=32))


@pytest.mark.parametrize("timer", [{}, {"batch": 1}, {"cache": "cold"}, {"threads": 4}])
def test_one_image_a_call_is_what_a_search_needs(written, timer):
    refuse_batched(written(**timer))


def test_an_emulated_table_is_refused(written):
    refuse_emulated(written(source="measured"))
    with pytest.raises(EmulatedTableError, match=r"other\.tsv.*--allow-emulated"):
        refuse_emulated(written(source="emulated"))


@pytest.mark.parametrize("refuse", [refuse_batched, refuse_emulated])
def test_a_missing_table_is_named(refuse, tmp_path):
    with pytest.raises(TableError, match=r"absent\.tsv"):
        refuse(tmp_path / "absent.tsv")


def test_the_dtype_is_that_of_the_spaces(table, tmp_path):
    path = tmp_path / "table.tsv"
    write_table(table, path)
    assert table_dtype(path) == table.header.dtype == "float32"
    (space,) = table.header.spaces
    header = dataclasses.replace(table.header, spaces=({**space, "dtype": "int8"},))
    write_table(LatencyTable(header, {}), path)
    assert table_dtype(path) == header.dtype == "int8"
