"""Devices that are computed instead of measured."""

from metanas_simulators.accelerator import DATAFLOWS, Accelerator, Sram
from metanas_simulators.backends import BACKENDS, make_simulator
from metanas_simulators.convolution import Convolution, convolution_of
from metanas_simulators.device import SimulatedDevice
from metanas_simulators.row_stationary import RowStationaryArray
from metanas_simulators.scale_sim import ScaleSim
from metanas_simulators.simulation import LayerSimulation, Origin, Simulator, Traffic
from metanas_simulators.systolic import SYSTOLIC_DATAFLOWS, SystolicArray

__all__ = [
    "BACKENDS",
    "DATAFLOWS",
    "SYSTOLIC_DATAFLOWS",
    "Accelerator",
    "Convolution",
    "LayerSimulation",
    "Origin",
    "RowStationaryArray",
    "ScaleSim",
    "SimulatedDevice",
    "Simulator",
    "Sram",
    "SystolicArray",
    "Traffic",
    "convolution_of",
    "make_simulator",
]
