"""A network of residual blocks becomes a file as a chain does."""

import numpy as np
import onnx
import pytest

from metanas.deploy import export_onnx, replace_weights
from metanas.spaces import ResNet12Space
from support.random_networks import WAYS, make_card, random_network

SHAPE = (1, 12, 12)
ARCHITECTURE = "k3c8relu-k1c16elu-k5c8selu-k3c16sigmoid-k1c16relu6-k3c32leakyrelu"


@pytest.mark.parametrize("downsampling", ["pooled", "strided"])
def test_a_residual_network_is_exported_and_takes_other_weights(downsampling):
    space = ResNet12Space(input_shape=SHAPE, ways=WAYS, downsampling=downsampling)
    first, second = (random_network(space, ARCHITECTURE, seed=seed) for seed in (0, 1))
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
