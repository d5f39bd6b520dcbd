"""How the graph lays out the tensors that it learns, and how the exported network does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from metanas.deploy.adaptation_graph.convolution import Layout, convolution
from metanas.deploy.adaptation_graph.image_convolution import ImageConvolution
from metanas.deploy.adaptation_graph.structure import IMAGES, Node
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value


def laid_out(writer: GraphWriter, node: Node, part: str, tensor: Tensor) -> NDArray[np.float32]:
    """A tensor of a layer as `TrainingPass` takes it."""
    values: NDArray[np.float32] = tensor.detach().numpy()
    match part, node.layer:
        case "weight", nn.Conv2d():
            return _layout(writer, node).lay_out(values)
        case "weight", nn.Linear():
            return values.reshape(len(values), -1)
    return values


def restored(writer: GraphWriter, node: Node, weight: Value) -> Value:
    """A convolution's weight as (filters, channels, height, width) again."""
    return _layout(writer, node).restore(weight)


def _layout(writer: GraphWriter, node: Node) -> Layout:
    return (ImageConvolution if node.inputs == (IMAGES,) else convolution)(writer, node)
