import math

import pytest
import torch

from metanas.meta import initialise
from metanas.spaces import VGG9Space

STEPS = 2
TEXT = "k3c16relu-k3c32relu"


@pytest.fixture
def space():
    return VGG9Space(input_shape=(1, 12, 12), ways=3)


@pytest.fixture
def supernet(space):
    networks = [space.network(corner) for corner in space.corners()]
    return initialise(networks, steps=STEPS, rate=0.1, seed=0)


@pytest.fixture
def fresh(space):
    """Parameters of one network, by switches."""

    def make(**switches):
        network = space.network(space.parse(TEXT))
        return initialise([network], steps=STEPS, rate=0.1, seed=0, **switches)

    return make


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


def names_learned(parameters):
    return {name for name, tensor in parameters.named() if tensor.requires_grad}


def test_rates_that_are_not_learned_require_no_gradient(fresh):
    learned = names_learned(fresh(learned_rates=False))
    assert learned == {n for n in names_learned(fresh()) if not n.startswith("rates/")}


def test_norms_of_all_steps_are_one(fresh):
    parameters = fresh(per_step_norms=False)
    assert tuple(parameters.norms["conv1.scale"].shape) == (1, 32)
    assert names_learned(parameters) == names_learned(fresh())


def test_adapted_norms_are_adapted_tensors_with_rates(fresh):
    parameters = fresh(per_step_norms=False, adapted_norms=True)
    assert not parameters.norms
    assert parameters.adapted["conv1.scale"].tolist() == [1] * 32
    assert parameters.adapted["conv1.shift"].tolist() == [0] * 32
    assert parameters.rates["conv1.scale"].tolist() == pytest.approx([0.1] * STEPS)
    assert parameters.rates.keys() == parameters.adapted.keys()


def test_running_statistics_begin_as_those_of_nothing_and_are_not_learned(fresh):
    parameters = fresh(running_statistics=True)
    shapes = {name: tuple(tensor.shape) for name, tensor in parameters.statistics.items()}
    assert shapes == {
        f"conv{index}.{part}": (STEPS, channels)
        for index, channels in enumerate((16, 32))
        for part in ("mean", "variance")
    }
    assert not parameters.statistics["conv1.mean"].any()
    assert (parameters.statistics["conv1.variance"] == 1).all()
    assert names_learned(parameters) == names_learned(fresh())


def test_switches_change_no_weight(fresh):
    switched = fresh(learned_rates=False, per_step_norms=False, adapted_norms=True)
    for name, tensor in fresh().adapted.items():
        assert torch.equal(tensor, switched.adapted[name])
