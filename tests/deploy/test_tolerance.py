from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from metanas.deploy import compare, tolerance_of
from metanas.deploy.tolerance import depth_of, dtype_of


def chain(*operators: str) -> onnx.ModelProto:
    """A model of one operator behind the other."""
    names = [f"map{number}" for number in range(len(operators) + 1)]
    nodes = [
        helper.make_node(operator, [names[number]], [names[number + 1]])
        for number, operator in enumerate(operators)
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1])
        for name in (names[0], names[-1])
    ]
    return helper.make_model(helper.make_graph(nodes, "chain", ends[:1], ends[1:]))


def test_depth_counts_layers_with_weights():
    assert depth_of(chain("Conv", "Relu", "MaxPool", "Conv", "Flatten", "Gemm")) == 3
    assert depth_of(chain("Relu")) == 0


def test_depth_is_of_the_longest_way():
    model = chain("Conv", "Conv", "Conv", "Gemm")
    shortcut = helper.make_node("Conv", ["map0"], ["shortcut"])
    model.graph.node.insert(0, shortcut)
    model.graph.node[3].input.append("shortcut")
    assert depth_of(model) == 4


def test_exported_network_has_its_architectures_depth(model):
    proto = onnx.load_model_from_string(model)
    assert (depth_of(proto), dtype_of(proto)) == (5, "float32")


@pytest.mark.parametrize("operator", ["QuantizeLinear", "DequantizeLinear", "QLinearConv"])
def test_quantised_models_may_be_further_off(operator):
    plain, quantised = chain("Conv", "Relu"), chain("Conv", operator)
    assert dtype_of(quantised) == "int8"
    assert tolerance_of(quantised) > 100 * tolerance_of(plain)


def test_tolerance_grows_as_the_root_of_the_depth():
    one, nine = chain("Conv"), chain(*["Conv"] * 9)
    assert tolerance_of(nine) == pytest.approx(3 * tolerance_of(one))
    assert tolerance_of(chain("Relu")) == tolerance_of(one)


def test_float32_stays_below_a_ten_thousandth_for_every_network_of_the_spaces():
    assert tolerance_of(chain(*["Conv"] * 25)) <= 1e-4


def test_one_logit_may_be_further_off_than_a_thousandth_of_them():
    host = np.linspace(-0.5, 0.5, 10_000, dtype=np.float32).reshape(-1, 5)
    one, many = host.copy(), host.copy()
    one[0, 0] += 0.9e-3
    many[:4, :] += 0.9e-3
    assert compare([(host, one)], tolerance=1e-3).within
    assert not compare([(host, many)], tolerance=1e-3).within
    assert not compare([(host, one)], tolerance=0.5e-3).within
