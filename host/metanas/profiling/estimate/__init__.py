"""A new device's table from a few measured rows, and the tables of other devices."""

from metanas.profiling.estimate.probing import measure_probes, measure_rows
from metanas.profiling.estimate.replace import UNCERTAIN, replace_estimated, uncertain
from metanas.profiling.estimate.table import FEWEST_PROBES, Estimator

__all__ = [
    "FEWEST_PROBES",
    "UNCERTAIN",
    "Estimator",
    "measure_probes",
    "measure_rows",
    "replace_estimated",
    "uncertain",
]
