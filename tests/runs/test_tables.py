"""Which tables a run takes, and what becomes of those that it has."""

from dataclasses import replace

import pytest

from metanas.errors import TableMismatchError
from metanas.profiling import LatencyTable, read_table, write_table
from metanas.runs import RunFolder, tables_by_device
from metanas.runs.tables import refuse_other_space


@pytest.fixture
def folder(settings, tmp_path):
    return RunFolder.create(tmp_path / "run", settings)


@pytest.fixture
def table(table_file):
    return read_table(table_file)


def named(table, name):
    device = replace(table.header.device, name=name)
    return LatencyTable(replace(table.header, device=device), table.rows)


def written(table, path):
    write_table(table, path)
    return path


def test_tables_go_by_their_devices(table, table_file, tmp_path):
    other = written(named(table, "other"), tmp_path / "x.tsv")
    assert tables_by_device([table_file, other]) == {"array": table_file, "other": other}
    with pytest.raises(TableMismatchError, match="are both of array"):
        tables_by_device([table_file, written(table, tmp_path / "y.tsv")])


def test_what_is_not_named_is_set_aside_whole(folder, table, table_file, tmp_path):
    other = written(named(table, "other"), tmp_path / "x.tsv")
    both = {"array": table_file, "other": other}
    assert folder.keep_tables(both, allow_emulated=False) == []
    better = LatencyTable(
        table.header, {key: replace(row, source="estimated") for key, row in table.rows.items()}
    )
    folder.replace_table("array", better)
    (aside,) = folder.keep_tables({"other": other}, allow_emulated=False)
    assert list(folder.tables) == list(folder.given_tables) == ["other"]
    assert read_table(aside) == better
    assert folder.keep_tables(both, allow_emulated=False) == []
    assert read_table(folder.tables["array"]) == table
    assert folder.given_tables == folder.tables


def test_nothing_that_was_set_aside_is_overwritten(folder, table, table_file, tmp_path):
    names = ("median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms")
    faster = {
        key: replace(row, **{name: getattr(row, name) / 2 for name in names})
        for key, row in table.rows.items()
    }
    other = written(LatencyTable(table.header, faster), tmp_path / "x.tsv")
    assert folder.keep_table(table_file) is None
    first = folder.keep_table(other)
    second = folder.keep_table(table_file)
    assert first.read_bytes() == table_file.read_bytes()
    assert second.read_bytes() == other.read_bytes()
    assert folder.keep_table(other) == first  # that is there already
    assert folder.keep_table(other) is None


def test_a_table_of_another_space_says_what_differs(table, settings, glyphs):
    refuse_other_space(table, settings.make_space(glyphs))
    more_ways = replace(settings, ways=4).make_space(glyphs)
    with pytest.raises(TableMismatchError, match="ways 3, not 4") as caught:
        refuse_other_space(table, more_ways)
    assert "metanas-profile --device array" in caught.value.hint
    assert "--ways 4" in caught.value.hint
    lacking = LatencyTable(table.header, dict(list(table.rows.items())[:-1]))
    refuse_other_space(lacking, settings.make_space(glyphs))  # it only lacks rows
