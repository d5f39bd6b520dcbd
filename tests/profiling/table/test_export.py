import csv
import dataclasses
import json
import math
import sys

import pytest

from metanas.errors import ExtraMissingError
from metanas.profiling import LAYER_COLUMNS, records, write_csv, write_parquet
from metanas_agent.layers import parse_layer


@pytest.fixture
def varied(table, with_rows):
    """Texts that need quoting, and optional values in the first row only."""
    first, second, *rest = table.rows.values()
    first = dataclasses.replace(first, energy_mj=0.25, governor="performance", throttled_after=3)
    second = dataclasses.replace(second, verdict="noisy", reason='±2%, "twice"\n\ttired')
    return with_rows(table, [first, second, *rest])


def test_a_record_is_a_row_and_what_is_known_of_its_layer(varied):
    found = list(records(varied))
    assert [record["layer"] for record in found] == list(varied.rows)
    for record, row in zip(found, varied.rows.values(), strict=True):
        layer = parse_layer(row.key)
        assert {name: record[name] for name in LAYER_COLUMNS} == {
            name: getattr(layer, name) for name in LAYER_COLUMNS
        }
        assert record["memory_bytes"] >= record["size_bytes"]
        assert record["op"] == layer.op
        for field in dataclasses.fields(row):
            if field.name != "key":
                assert record[field.name] == getattr(row, field.name)


def test_writes_csv(varied, tmp_path):
    path = tmp_path / "rows.csv"
    write_csv(varied, path)
    with path.open(encoding="utf-8", newline="") as stream:
        read = list(csv.DictReader(stream))
    for record, cells in zip(records(varied), read, strict=True):
        for name, value in record.items():
            assert cells[name] == ("" if value is None else str(value))


def test_writes_parquet(varied, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an extra")
    path = tmp_path / "rows.parquet"
    write_parquet(varied, path)
    read = parquet.read_table(path)
    assert read.to_pylist() == list(records(varied))
    types = {field.name: str(field.type) for field in read.schema}
    assert types["median_ms"] == types["temperature_c_before"] == "double"  # though all are null
    assert types["throttled_after"] == types["macs"] == "int64"
    assert types["layer"] == types["governor"] == "string"
    header = json.loads(read.schema.metadata[b"metanas"])
    assert header["device"]["name"] == varied.header.device.name
    assert header["spaces"] == list(varied.header.spaces)


def test_says_how_to_get_parquet(varied, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    with pytest.raises(ExtraMissingError, match="pyarrow") as caught:
        write_parquet(varied, tmp_path / "rows.parquet")
    assert "metanas[parquet]" in caught.value.hint
    assert not list(tmp_path.glob("*.parquet"))


def test_every_number_is_finite(varied):
    for record in records(varied):
        assert all(math.isfinite(v) for v in record.values() if isinstance(v, float))
