"""Native programs: layers and networks compiled for boards that have no runtime of their own."""

from metanas.native.artifacts import NativeArtifacts
from metanas.native.cache import Artifact
from metanas.native.layer_program import KernelSet, build_layer_program
from metanas.native.network import build_network_program
from metanas.native.targets import TARGETS, Target, find_target

__all__ = [
    "TARGETS",
    "Artifact",
    "KernelSet",
    "NativeArtifacts",
    "Target",
    "build_layer_program",
    "build_network_program",
    "find_target",
]
