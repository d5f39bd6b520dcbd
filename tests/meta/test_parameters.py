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


def test_names_round_trip(supernet):
    named = dict(supernet.named())
    assert dict(MetaParameters.from_named(named).named()) == named
    assert supernet.steps == STEPS
    with pytest.raises(CheckpointError, match="'odd/tensor'"):
        MetaParameters.from_named(named | {"odd/tensor": torch.zeros(1)})
    adapted_only = {name: tensor for name, tensor in named.items() if name.startswith("adapted")}
    with pytest.raises(CheckpointError, match="norms, rates"):
        MetaParameters.from_named(adapted_only)


def test_norms_may_be_among_the_adapted_and_statistics_be_kept(space):
    network = space.network(space.parse("k3c16relu-k3c16relu"))
    parameters = initialise(
        [network],
        steps=STEPS,
        rate=0.1,
        seed=0,
        per_step_norms=False,
        adapted_norms=True,
        running_statistics=True,
    )
    copy = MetaParameters.from_named(dict(parameters.named()))
    assert not copy.norms
    assert copy.statistics == parameters.statistics
    assert [name for name, _ in copy.detached().named()] == [name for name, _ in copy.named()]


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
        "adapted/head2.weight": (slice(3), slice(32)),
        "adapted/head2.bias": (slice(3),),
        **{
            f"norms/conv{index}.{part}": (slice(None), slice(channels))
            for index, channels in enumerate((16, 32))
            for part in ("scale", "shift")
        },
        **{  # not of convolutions' biases, which do nothing before batch-norm
            f"rates/{name}": (slice(None),)
            for name in ("conv0.weight", "conv1.weight", "head2.weight", "head2.bias")
        },
    }
    gradients = {n: t.grad for n, t in supernet.named() if t.grad is not None}
    assert gradients.keys() == parts.keys()
    alone = dict(small.named())
    for name, part in parts.items():
        expected = torch.zeros_like(gradients[name])
        expected[part] = alone[name].grad
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


def test_adapted_norms_are_cut_too(space):
    networks = [space.network(corner) for corner in space.corners()]
    supernet = initialise(
        networks, steps=STEPS, rate=0.1, seed=0, per_step_norms=False, adapted_norms=True
    )
    part = supernet.cut(space.network(space.parse("k1c16relu")))
    assert tuple(part.adapted["conv0.shift"].shape) == (16,)
    assert part.rates.keys() == part.adapted.keys()
    assert part.rates["conv0.scale"] is supernet.rates["conv0.scale"]
    assert not part.norms


def test_shared_norms_are_cut_too(space):
    networks = [space.network(corner) for corner in space.corners()]
    supernet = initialise(networks, steps=STEPS, rate=0.1, seed=0, per_step_norms=False)
    part = supernet.cut(space.network(space.parse("k1c16relu")))
    assert tuple(part.norms["conv0.shift"].shape) == (1, 16)
