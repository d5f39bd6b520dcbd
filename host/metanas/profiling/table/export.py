"""A table for other programs: as CSV, or as Parquet with its header in the metadata.

The columns are those of the table's file, what all rows share, and what is known of each layer.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from metanas.errors import ExtraMissingError
from metanas.files import replacing
from metanas.profiling.table.file import FORMAT
from metanas.profiling.table.latency_table import LatencyTable
from metanas_agent.layers import parse_layer
from metanas_agent.measurement import Measurement

LAYER_COLUMNS = ("macs", "params", "size_bytes", "memory_bytes")
"""What is computed of each layer, beside its measurement; see `LayerSpec`."""


def records(table: LatencyTable) -> Iterator[dict[str, Any]]:
    """One plain record a row: `layer`, its kind, `LAYER_COLUMNS`, then the measurement."""
    for row in table.rows.values():
        layer = parse_layer(row.key)
        yield {
            "layer": row.key,
            "op": layer.op,
            **{name: getattr(layer, name) for name in LAYER_COLUMNS},
            **{name: value for name, value in asdict(row).items() if name != "key"},
        }


def write_csv(table: LatencyTable, path: Path) -> None:
    """Replace a CSV file (RFC 4180, a line of names first); what is not known is left empty.

    Raises:
        IsADirectoryError: the path is a folder's.
    """
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, _names())
        writer.writeheader()
        writer.writerows(records(table))


def write_parquet(table: LatencyTable, path: Path) -> None:
    """Replace a Parquet file; the key `metanas` of its metadata has the header as JSON.

    Raises:
        ExtraMissingError: pyarrow is not installed.
        IsADirectoryError: the path is a folder's.
    """
    with replacing(path) as part:  # a wrong path is told first, whatever is installed
        try:
            import pyarrow as pa  # noqa: PLC0415 - an extra
            import pyarrow.parquet as pq  # noqa: PLC0415
        except ImportError as error:
            raise ExtraMissingError(
                "Parquet files need pyarrow, which is not installed",
                hint='pip install "metanas[parquet]", or export to CSV',
            ) from error
        header = {"format": FORMAT, **asdict(table.header)}
        schema = pa.schema(
            [pa.field(name, _arrow_type(pa, name)) for name in _names()],
            metadata={"metanas": json.dumps(header, ensure_ascii=False)},
        )
        pq.write_table(pa.Table.from_pylist(list(records(table)), schema), part)


def _names() -> list[str]:
    measured = (name for name in Measurement.__annotations__ if name != "key")
    return ["layer", "op", *LAYER_COLUMNS, *measured]


def _arrow_type(pa: Any, name: str) -> Any:
    """Of the field's annotation, so that a column without values has its type too."""
    if name in ("layer", "op"):
        return pa.string()
    kind = Measurement.__annotations__.get(name, "int").removesuffix(" | None")
    return {"int": pa.int64(), "float": pa.float64(), "str": pa.string()}[kind]
