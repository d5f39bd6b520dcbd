"""A run folder, and the stages that fill it: train, search, retrain, evaluate, export, verify."""

from metanas.runs.adaptation import evaluate_network, search
from metanas.runs.bundling import bundle
from metanas.runs.closed_loop import Step, closed_loop, measurable_limits
from metanas.runs.deployment import export, export_adaptation, export_native
from metanas.runs.folder import RunFolder
from metanas.runs.opset import readable_opset
from metanas.runs.quantisation import quantise_on
from metanas.runs.search_plan import check_search
from metanas.runs.settings import RunSettings
from metanas.runs.tables import tables_by_device
from metanas.runs.training import (
    FOUND,
    NO_VALIDATION,
    SUPERNET,
    check_network,
    check_supernet,
    load_trained,
    outer_settings,
    train_network,
    train_supernet,
)
from metanas.runs.verifying import predict, verify_file, verify_on
from metanas.runs.winner_timing import calibrate_own_table, measure_winner

__all__ = [
    "FOUND",
    "NO_VALIDATION",
    "SUPERNET",
    "RunFolder",
    "RunSettings",
    "Step",
    "bundle",
    "calibrate_own_table",
    "check_network",
    "check_search",
    "check_supernet",
    "closed_loop",
    "evaluate_network",
    "export",
    "export_adaptation",
    "export_native",
    "load_trained",
    "measurable_limits",
    "measure_winner",
    "outer_settings",
    "predict",
    "quantise_on",
    "readable_opset",
    "search",
    "tables_by_device",
    "train_network",
    "train_supernet",
    "verify_file",
    "verify_on",
]
