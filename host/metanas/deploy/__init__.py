"""Export to ONNX, and verification on the device."""

from metanas.deploy.agreement import TOLERANCE, Agreement, compare
from metanas.deploy.card import ModelCard
from metanas.deploy.export import export_onnx, replace_weights
from metanas.deploy.verification import (
    LATENCY_TOLERANCE,
    Network,
    Prediction,
    Verification,
    read_verification,
    write_verification,
)
from metanas.deploy.verify import AdaptedNetwork, verify

__all__ = [
    "LATENCY_TOLERANCE",
    "TOLERANCE",
    "AdaptedNetwork",
    "Agreement",
    "ModelCard",
    "Network",
    "Prediction",
    "Verification",
    "compare",
    "export_onnx",
    "read_verification",
    "replace_weights",
    "verify",
    "write_verification",
]
