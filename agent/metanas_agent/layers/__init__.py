"""The kinds of layers: the one vocabulary that agent, host and simulators share.

A layer is what is timed as one unit and looked up as one row of a latency table. It is a value:
frozen, hashable, and written as a stable text key that parses back to the same layer.
"""

from metanas_agent.layer_spec import DTYPES, LayerSpec, dtypes_of
from metanas_agent.layers.activation import ACTIVATIONS
from metanas_agent.layers.add import AddLayer
from metanas_agent.layers.concat import ConcatLayer
from metanas_agent.layers.conv import ConvLayer
from metanas_agent.layers.empty import EmptyLayer
from metanas_agent.layers.head import HeadLayer
from metanas_agent.layers.keys import parse_layer
from metanas_agent.layers.operation import OPERATIONS, OperationLayer, Stage

__all__ = [
    "ACTIVATIONS",
    "DTYPES",
    "OPERATIONS",
    "AddLayer",
    "ConcatLayer",
    "ConvLayer",
    "EmptyLayer",
    "HeadLayer",
    "LayerSpec",
    "OperationLayer",
    "Stage",
    "dtypes_of",
    "parse_layer",
]
