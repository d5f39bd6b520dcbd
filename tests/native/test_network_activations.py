"""A network's activations in whole programs, where exponentials overflow or vanish."""

from __future__ import annotations

import numpy as np
import pytest

from support.onnx_graphs import node, onnx_file
from support.reference_activations import activated
from support.sampled_networks import run_native

pytest.importorskip("tvm", reason="needs apache-tvm: pip install 'metanas[native]'")

from metanas.native.network import build_network_program
from metanas.native.targets import find_target
from metanas_agent.layers import ACTIVATIONS

OPERATORS = {
    "relu": node("Relu", ["x"], ["y"]),
    "elu": node("Elu", ["x"], ["y"]),
    "selu": node("Selu", ["x"], ["y"]),
    "sigmoid": node("Sigmoid", ["x"], ["y"]),
    "relu6": node("Clip", ["x", "low", "high"], ["y"]),
    "leakyrelu": node("LeakyRelu", ["x"], ["y"], alpha=0.01),
}
BOUNDS = {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}
SIZES = (0, 1e-8, 86.9, 87.1, 88.8, 100, 103.9, 1e3, 1e9, 1e30)


@pytest.mark.parametrize("target_name", ["x86-64", "armv6", "aarch64", "armv7"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_far_from_zero(activation: str, target_name: str) -> None:
    extremes = [sign * size for sign in (-1, 1) for size in SIZES]
    spread = np.linspace(-120, 120, 4000 - len(extremes))
    image = np.array([*extremes, *spread], np.float32).reshape(2, 40, 50)
    operator = OPERATORS[activation]
    model = onnx_file(
        [operator],
        shape=(1, *image.shape),
        constants={name: BOUNDS[name] for name in operator.input if name in BOUNDS},
    )
    outputs = run_native(build_network_program(model, find_target(target_name)), image)
    wanted = activated(activation, image.astype(np.float64)).ravel()
    np.testing.assert_allclose(outputs, wanted, rtol=1e-6, atol=2.5e-7)
