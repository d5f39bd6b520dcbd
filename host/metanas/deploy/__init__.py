"""Export to ONNX, and verification on the device."""

from metanas.deploy.accuracy import EpisodeAccuracy
from metanas.deploy.adapted_network import AdaptedNetwork
from metanas.deploy.agreement import TOLERANCE, Agreement, compare
from metanas.deploy.card import ModelCard
from metanas.deploy.export import export_onnx, load_model, replace_weights
from metanas.deploy.int8_on_device import QuantisableTask, Tried, check_int8, try_int8
from metanas.deploy.int8_trial import Int8Trial, Paired, Side, read_trial, write_trial
from metanas.deploy.memory import PeakMemory
from metanas.deploy.model_file import adapted_from_file, architecture_of
from metanas.deploy.native_export import NativeExport, export_program
from metanas.deploy.opset import NEWEST_OPSET, OLDEST_OPSET, OPSET, choose_opset, opset_of
from metanas.deploy.prediction import Prediction
from metanas.deploy.quantisation import quantise
from metanas.deploy.tolerance import tolerance_of
from metanas.deploy.verification import (
    LATENCY_TOLERANCE,
    Network,
    Verification,
    read_verification,
    write_verification,
)
from metanas.deploy.verify import verify

__all__ = [
    "LATENCY_TOLERANCE",
    "NEWEST_OPSET",
    "OLDEST_OPSET",
    "OPSET",
    "TOLERANCE",
    "AdaptedNetwork",
    "Agreement",
    "EpisodeAccuracy",
    "Int8Trial",
    "ModelCard",
    "NativeExport",
    "Network",
    "Paired",
    "PeakMemory",
    "Prediction",
    "QuantisableTask",
    "Side",
    "Tried",
    "Verification",
    "adapted_from_file",
    "architecture_of",
    "check_int8",
    "choose_opset",
    "compare",
    "export_onnx",
    "export_program",
    "load_model",
    "opset_of",
    "quantise",
    "read_trial",
    "read_verification",
    "replace_weights",
    "tolerance_of",
    "try_int8",
    "verify",
    "write_trial",
    "write_verification",
]
