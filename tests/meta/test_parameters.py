import math

import pytest
import torch

from metanas.errors import CheckpointError
from metanas.meta import MetaParameters, initialise, meta_loss
from metanas.spaces import VGG9Space

STEPS = 2


@pytest.fixture
def space():
    return VGG9Space(input_shape=(1, 12, 12), ways=3)


@pytest.fixture
def supernet(space):
    networks = [space.network(corner) for corner in space.corners()]
    return initialise(networks, steps=STEPS, rate=0.1, seed=0)


def test_the_super_network_is_the_union_of_its_corners(space, supernet):
    most = max(space.channels)
    shapes = {name: tuple(tensor.shape) for name, tensor in supernet.adapted.items()}
    assert shapes["conv0.weight"] == (most, 1, 5, 5)
    assert shapes["conv3.weight"] == (most, most, 5, 5)
    heads = {name for name in shapes if name.startswith("head") and name.endswith("weight")}
    assert heads == {f"head{depth}.weight" for depth in range(1, 5)}
    assert shapes["head1.weight"] == (3, most, 5, 5)  # a map of 6x6, pooled to 5x5
    assert shapes["head2.weight"] == (3, most, 1, 1)  # a map of 3x3 is smaller than 5x5
    assert supernet.rates.keys() == supernet.adapted.keys()
    assert tuple(supernet.norms["conv2.shift"].shape) == (STEPS, most)


def test_the_union_has_the_largest_size_in_each_dimension(space):
    texts = ("k5c16relu-k1c96relu-k3c32relu-k1c16relu", "k1c64relu-k3c32relu-k5c48relu-k1c16relu")
    networks = [space.network(space.parse(text)) for text in texts]
    parameters = initialise(networks, steps=STEPS, rate=0.1, seed=0)
    assert tuple(parameters.adapted["conv0.weight"].shape) == (64, 1, 5, 5)
    assert tuple(parameters.adapted["conv1.weight"].shape) == (96, 64, 3, 3)
    assert tuple(parameters.adapted["conv2.weight"].shape) == (48, 96, 5, 5)


def test_initial_values(supernet):
    weight = supernet.adapted["conv1.weight"].detach()
    bound = math.sqrt(6 / ((144 + 144) * 25))
    assert float(weight.abs().max()) == pytest.approx(bound, rel=1e-3)
    assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=1e-2)
    assert not supernet.adapted["conv1.bias"].any()
    assert (supernet.norms["conv0.scale"] == 1).all()
    assert not supernet.norms["conv0.shift"].any()
    assert supernet.rates["conv0.weight"].tolist() == pytest.approx([0.1] * STEPS)
    assert all(tensor.requires_grad for _, tensor in supernet.named())


def test_weights_are_a_function_of_the_seed(space):
    networks = [space.network(space.parse("k3c16relu-k3c16relu"))]
    first, again, other = (
        initialise(networks, steps=STEPS, rate=0.1, seed=seed).adapted for seed in (4, 4, 5)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv0.weight"], other["conv0.weight"])


def test_names_round_trip(supernet):
    named = dict(supernet.named())
    assert dict(MetaParameters.from_named(named).named()) == named
    assert supernet.steps == STEPS
    with pytest.raises(CheckpointError, match="'odd/tensor'"):
        MetaParameters.from_named(named | {"odd/tensor": torch.zeros(1)})
    adapted_only = {name: tensor for name, tensor in named.items() if name.startswith("adapted")}
    with pytest.raises(CheckpointError, match="norms, rates"):
        MetaParameters.from_named(adapted_only)


def test_detached_parameters_are_copies(supernet):
    copy = supernet.detached()
    before = copy.adapted["conv0.weight"].clone()
    with torch.no_grad():
        supernet.adapted["conv0.weight"].add_(1)
    assert torch.equal(copy.adapted["conv0.weight"], before)
    assert not any(tensor.requires_grad for _, tensor in copy.named())


# A sub-network of the super-network


def test_gradients_land_in_the_cut_part_alone(space, supernet, draw_episodes):
    network = space.network(space.parse("k3c16relu-k1c32elu"))
    episodes = draw_episodes((1, 12, 12), dtype=torch.float32)
    step_weights = [0.5, 0.5]

    small = MetaParameters.from_named(
        {
            name: tensor.detach().clone().requires_grad_()
            for name, tensor in supernet.cut(network).named()
        }
    )
    for parameters in (small, supernet.cut(network)):
        meta_loss(network, parameters, episodes, step_weights=step_weights).loss.backward()

    # The centre of a 5x5 kernel is [1:4] for 3x3 and [2:3] for 1x1.
    parts = {
        "adapted/conv0.weight": (slice(16), slice(1), slice(1, 4), slice(1, 4)),
        "adapted/conv1.weight": (slice(32), slice(16), slice(2, 3), slice(2, 3)),
        "adapted/conv0.bias": (slice(16),),
        "adapted/conv1.bias": (slice(32),),
        "adapted/head2.weight": (slice(3), slice(32)),
        "adapted/head2.bias": (slice(3),),
        **{
            f"norms/conv{index}.{part}": (slice(None), slice(channels))
            for index, channels in enumerate((16, 32))
            for part in ("scale", "shift")
        },
        **{
            f"rates/{name}.{part}": (slice(None),)
            for name in ("conv0", "conv1", "head2")
            for part in ("weight", "bias")
        },
    }
    gradients = {n: t.grad for n, t in supernet.named() if t.grad is not None}
    assert gradients.keys() == parts.keys()
    for name, tensor in small.named():
        expected = torch.zeros_like(gradients[name])
        expected[parts[name]] = tensor.grad
        assert torch.equal(gradients[name], expected), name
    assert small.adapted["conv0.weight"].grad.any()
    assert small.norms["conv1.shift"].grad.any()


def test_a_cut_is_a_view(space, supernet):
    network = space.network(space.parse("k1c16relu"))
    cut = supernet.cut(network)
    with torch.no_grad():
        supernet.adapted["conv0.weight"][7, 0, 2, 2] = 42
        supernet.norms["conv0.scale"][1, 3] = 43
    assert cut.adapted["conv0.weight"][7, 0, 0, 0] == 42
    assert cut.norms["conv0.scale"][1, 3] == 43
    assert tuple(cut.norms["conv0.scale"].shape) == (STEPS, 16)
