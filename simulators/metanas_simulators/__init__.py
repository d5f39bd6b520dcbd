"""Devices that are computed instead of measured."""

from metanas_simulators.device import BACKENDS, SystolicDevice, make_simulator
from metanas_simulators.systolic import DATAFLOWS, MatrixProduct, SystolicArray, matrix_product

__all__ = [
    "BACKENDS",
    "DATAFLOWS",
    "MatrixProduct",
    "SystolicArray",
    "SystolicDevice",
    "make_simulator",
    "matrix_product",
]
