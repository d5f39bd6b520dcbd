"""Latency tables: what they hold and predict, their files, and what two of them say together."""

from metanas.profiling.table.compare import Merged, RowChange, TableDiff, diff, merge
from metanas.profiling.table.export import LAYER_COLUMNS, records, write_csv, write_parquet
from metanas.profiling.table.file import read_header, read_table, write_table
from metanas.profiling.table.grids import Grid, grids
from metanas.profiling.table.header import Calibration, Scalar, Sentinel, TableHeader
from metanas.profiling.table.latency_table import CALL, Interval, LatencyTable
from metanas.profiling.table.rows import rounded
from metanas.profiling.table.searchable import refuse_batched, refuse_emulated, table_dtype
from metanas.profiling.table.settings import space_of, timer_of
from metanas.profiling.table.store import find_table, table_name, tables, user_folder

__all__ = [
    "CALL",
    "LAYER_COLUMNS",
    "Calibration",
    "Grid",
    "Interval",
    "LatencyTable",
    "Merged",
    "RowChange",
    "Scalar",
    "Sentinel",
    "TableDiff",
    "TableHeader",
    "diff",
    "find_table",
    "grids",
    "merge",
    "read_header",
    "read_table",
    "records",
    "refuse_batched",
    "refuse_emulated",
    "rounded",
    "space_of",
    "table_dtype",
    "table_name",
    "tables",
    "timer_of",
    "user_folder",
    "write_csv",
    "write_parquet",
    "write_table",
]
