"""How far a table can be trusted: whole networks and the device's pace, beside what it says."""

from metanas.profiling.fidelity.additivity import Additivity, additivity
from metanas.profiling.fidelity.calibration import (
    FEWEST_NETWORKS,
    CalibrationReport,
    Improvement,
    calibrate,
)
from metanas.profiling.fidelity.choice import as_searched
from metanas.profiling.fidelity.comparison import compare_networks
from metanas.profiling.fidelity.network_file import network_model
from metanas.profiling.fidelity.network_timings import NetworkTiming
from metanas.profiling.fidelity.pace import slowdown
from metanas.profiling.fidelity.table_calibration import calibrate_table, networks_journal
from metanas.profiling.fidelity.whole_networks import measure_networks

__all__ = [
    "FEWEST_NETWORKS",
    "Additivity",
    "CalibrationReport",
    "Improvement",
    "NetworkTiming",
    "additivity",
    "as_searched",
    "calibrate",
    "calibrate_table",
    "compare_networks",
    "measure_networks",
    "network_model",
    "networks_journal",
    "slowdown",
]
