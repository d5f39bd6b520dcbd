"""A device becomes a latency table."""

from metanas.profiling.calibration import (
    FEWEST_NETWORKS,
    Additivity,
    Calibration,
    CalibrationReport,
    additivity,
)
from metanas.profiling.compare import Merged, RowChange, TableDiff, diff, merge
from metanas.profiling.export import LAYER_COLUMNS, records, write_csv, write_parquet
from metanas.profiling.fidelity import calibrate_table, compare_networks
from metanas.profiling.grids import Grid, grids
from metanas.profiling.network_file import network_model
from metanas.profiling.order import expected_shares
from metanas.profiling.pace import slowdown
from metanas.profiling.searchable import refuse_batched, refuse_emulated
from metanas.profiling.store import find_table, table_name, tables, user_folder
from metanas.profiling.sweep import OVER_BUDGET, profile
from metanas.profiling.sweep_run import SweepProgress
from metanas.profiling.table import CALL, Interval, LatencyTable, Sentinel, TableHeader
from metanas.profiling.table_file import read_header, read_table, write_table
from metanas.profiling.whole_networks import NetworkTiming, measure_networks

__all__ = [
    "CALL",
    "FEWEST_NETWORKS",
    "LAYER_COLUMNS",
    "OVER_BUDGET",
    "Additivity",
    "Calibration",
    "CalibrationReport",
    "Grid",
    "Interval",
    "LatencyTable",
    "Merged",
    "NetworkTiming",
    "RowChange",
    "Sentinel",
    "SweepProgress",
    "TableDiff",
    "TableHeader",
    "additivity",
    "calibrate_table",
    "compare_networks",
    "diff",
    "expected_shares",
    "find_table",
    "grids",
    "measure_networks",
    "merge",
    "network_model",
    "profile",
    "read_header",
    "read_table",
    "records",
    "refuse_batched",
    "refuse_emulated",
    "slowdown",
    "table_name",
    "tables",
    "user_folder",
    "write_csv",
    "write_parquet",
    "write_table",
]
