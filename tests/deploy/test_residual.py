"""A network of residual blocks becomes a file as a chain does."""

import numpy as np
import onnx
import pytest
import torch

from metanas.deploy import export_onnx, replace_weights
from metanas.spaces import ResNet12Space
from metanas.spaces.network import Moments

SHAPE = (1, 12, 12)
ARCHITECTURE = "k3c8relu-k1c16elu-k5c8selu-k3c16sigmoid-k1c16relu6-k3c32leakyrelu"


def make_module(seed, downsampling):
    space = ResNet12Space(input_shape=SHAPE, ways=5, downsampling=downsampling)
    network = space.network(space.parse(ARCHITECTURE))
    generator = torch.Generator().manual_seed(seed)

    def draw(shape):
        return torch.randn(shape, generator=generator) * 0.2

    adapted = {name: draw((1, *shape)) for name, shape in network.adapted_shapes.items()}
    norms = {name: 1 + draw(shape) for name, shape in network.norm_shapes.items()}
    statistics = {}
    network(adapted, norms, torch.randn((1, 10, *SHAPE), generator=generator), record=statistics)
    return network.folded(
        {name: tensor[0] for name, tensor in adapted.items()},
        norms,
        {name: Moments(m.mean[0], m.variance[0]) for name, m in statistics.items()},
    )


@pytest.mark.parametrize("downsampling", ["pooled", "strided"])
def test_a_residual_network_is_exported_and_takes_other_weights(make_card, downsampling):
    first, second = (make_module(seed, downsampling) for seed in (0, 1))
    model = export_onnx(first, input_shape=SHAPE, metadata=make_card(ARCHITECTURE))
    operators = [node.op_type for node in onnx.load_from_string(model).graph.node]
    assert operators.count("Conv") == 8
    assert operators.count("Add") == 2
    assert operators.count("MaxPool") == (2 if downsampling == "pooled" else 0)
    assert "BatchNormalization" not in operators
    other = replace_weights(model, second, metadata=make_card(ARCHITECTURE))
    stored = {t.name: t for t in onnx.load_from_string(other).graph.initializer}
    for name, weights in second.state_dict().items():
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(stored[name]), weights.numpy())
