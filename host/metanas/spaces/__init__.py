"""What can be searched: spaces, their architectures, and the networks these stand for."""

from metanas.spaces.architecture import Architecture
from metanas.spaces.registry import SPACES, make_space
from metanas.spaces.space import Genes, LayerIndices, SearchSpace
from metanas.spaces.vgg9 import ConvChoice, Downsampling, VGG9Architecture, VGG9Space

__all__ = [
    "SPACES",
    "Architecture",
    "ConvChoice",
    "Downsampling",
    "Genes",
    "LayerIndices",
    "SearchSpace",
    "VGG9Architecture",
    "VGG9Space",
    "make_space",
]
