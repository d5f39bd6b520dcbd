"""What can be searched: spaces, their architectures, and the networks these stand for."""

from metanas.spaces.architecture import Architecture
from metanas.spaces.cells import CellsArchitecture, CellsSpace
from metanas.spaces.conv_choice import ConvArchitecture, ConvChoice
from metanas.spaces.conv_space import Downsampling
from metanas.spaces.registry import SPACES, make_space, space_from_settings
from metanas.spaces.resnet12 import ResNet12Space
from metanas.spaces.space import Genes, LayerIndices, SearchSpace
from metanas.spaces.vgg9 import VGG9Space

__all__ = [
    "SPACES",
    "Architecture",
    "CellsArchitecture",
    "CellsSpace",
    "ConvArchitecture",
    "ConvChoice",
    "Downsampling",
    "Genes",
    "LayerIndices",
    "ResNet12Space",
    "SearchSpace",
    "VGG9Space",
    "make_space",
    "space_from_settings",
]
