"""A device becomes a latency table."""

from metanas.profiling.compare import Merged, RowChange, TableDiff, diff, merge
from metanas.profiling.pace import slowdown
from metanas.profiling.store import find_table, table_name, tables, user_folder
from metanas.profiling.sweep import SweepProgress, profile
from metanas.profiling.table import CALL, Interval, LatencyTable, Sentinel, TableHeader
from metanas.profiling.table_file import read_header, read_table, refuse_emulated, write_table

__all__ = [
    "CALL",
    "Interval",
    "LatencyTable",
    "Merged",
    "RowChange",
    "Sentinel",
    "SweepProgress",
    "TableDiff",
    "TableHeader",
    "diff",
    "find_table",
    "merge",
    "profile",
    "read_header",
    "read_table",
    "refuse_emulated",
    "slowdown",
    "table_name",
    "tables",
    "user_folder",
    "write_table",
]
