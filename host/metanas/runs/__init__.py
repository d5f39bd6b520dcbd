"""A run folder, and the stages that fill it: train, search, retrain, evaluate, export, verify."""

from metanas.runs.adaptation import evaluate_network, search
from metanas.runs.deployment import FOUND, export, predict, verify_on
from metanas.runs.folder import RunFolder, RunSettings
from metanas.runs.training import (
    SUPERNET,
    load_trained,
    outer_settings,
    train_network,
    train_supernet,
)

__all__ = [
    "FOUND",
    "SUPERNET",
    "RunFolder",
    "RunSettings",
    "evaluate_network",
    "export",
    "load_trained",
    "outer_settings",
    "predict",
    "search",
    "train_network",
    "train_supernet",
    "verify_on",
]
