"""Instructions a multiply-accumulate on ARMv6: a bound on the work of the layers that need most."""

import pytest

pytest.importorskip("tvm", reason="needs apache-tvm: pip install 'metanas[native]'")

from metanas.native import build_layer_program, find_target
from metanas.spaces import make_space
from metanas_agent.layers import ConvLayer
from support.instruction_count import NoCounterError, counting_emulator, instructions_per_mac

MOST = 2.0
SPACES = (
    ("vgg9", (1, 28, 28), "pooled"),
    ("vgg9", (1, 28, 28), "strided"),
    ("vgg9", (3, 84, 84), "strided"),
    ("resnet12", (1, 28, 28), "pooled"),
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    target = find_target("armv6")
    program = build_layer_program(target).path
    try:
        return counting_emulator(target, program, tmp_path_factory.mktemp("plugin"))
    except NoCounterError as missing:
        pytest.skip(str(missing))


def fewest_macs(space, activation, kernel):
    """The layer with the fewest multiplications an output value to spread the rest over."""
    layers = (
        layer
        for layer in space.all_layers
        if isinstance(layer, ConvLayer) and (layer.kernel, layer.activation) == (kernel, activation)
    )
    return min(layers, key=lambda layer: (layer.in_channels, layer.macs))


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("activation", ["relu", "leakyrelu", "sigmoid", "elu", "selu"])
@pytest.mark.parametrize(("name", "input_shape", "downsampling"), SPACES)
def test_the_worst_layers_take_few(command, name, input_shape, downsampling, activation, kernel):
    space = make_space(name, input_shape=input_shape, ways=5, downsampling=downsampling)
    assert instructions_per_mac(command, fewest_macs(space, activation, kernel)) <= MOST
