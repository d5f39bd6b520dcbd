"""Every switch of the inner loop, alone and with the others, against a plain one, in float64."""

import pytest
import torch

from metanas.meta import (
    adapted_weights,
    initialise,
    meta_loss,
    norms_at,
    query_logits,
    support_statistics,
)
from metanas.spaces import ResNet12Space, VGG9Space
from metanas.spaces.network import Moments
from support.meta_gradients import assert_same_gradients
from support.plain_maml import batch_loss

SHAPE = (2, 8, 7)
STEPS = 3
EVERY = [0.2, 0.3, 0.5]
LAST = [0.0, 0.0, 1.0]
SEQUENTIAL = VGG9Space(input_shape=SHAPE, ways=3, pool=2), "k3c16elu-k1c16relu"
RESIDUAL = ResNet12Space(input_shape=SHAPE, ways=3, pool=2), "k3c8relu-k1c16elu-k3c8sigmoid"
TWO_BLOCKS = f"{RESIDUAL[1]}-k1c16selu-k3c16leakyrelu-k1c32relu6"
NORMS = {
    "per-step": {"per_step_norms": True},
    "shared": {"per_step_norms": False},
    "adapted": {"per_step_norms": False, "adapted_norms": True},
}

each_norm = pytest.mark.parametrize("norms", NORMS.values(), ids=NORMS)
each_order = pytest.mark.parametrize("second_order", [True, False], ids=["second", "first"])
each_query_norm = pytest.mark.parametrize("query_norm", ["transductive", "deployed", "running"])


@pytest.fixture
def check(draw_episodes, perturb):
    """Compare the meta-gradient that switches give with the plain one; returns our result."""

    def compare(space, text, *, switches, **how):
        architecture = space.parse(text)
        network = space.network(architecture)
        fresh = initialise([network], steps=STEPS, rate=0.3, seed=0, **switches)
        parameters = perturb(fresh)
        episodes = draw_episodes(SHAPE, tasks=2)
        result = meta_loss(network, parameters, episodes, **how)
        layers = space.layers(architecture)
        expected, logits, observed = batch_loss(layers, parameters, episodes, **how)
        assert float(result.loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-12)
        right = logits.argmax(-1) == episodes.query_labels
        assert result.accuracies.tolist() == pytest.approx(right.double().mean(1).tolist())
        assert_same_gradients(result.loss, expected, parameters)
        return result, observed

    return compare


@each_norm
@each_order
@each_query_norm
@pytest.mark.parametrize("learned_rates", [True, False], ids=["learned-rates", "fixed-rates"])
def test_switches_have_the_plain_meta_gradient(
    check, norms, second_order, query_norm, learned_rates
):
    check(
        *SEQUENTIAL,
        switches=norms | {"learned_rates": learned_rates, "running_statistics": True},
        step_weights=EVERY,
        second_order=second_order,
        query_norm=query_norm,
    )


@each_norm
@each_query_norm
def test_residual_blocks_have_the_plain_meta_gradient(check, norms, query_norm):
    check(
        *RESIDUAL,
        switches=norms | {"running_statistics": True},
        step_weights=LAST,
        second_order=True,
        query_norm=query_norm,
    )


@pytest.mark.parametrize("downsampling", ["pooled", "strided"])
def test_blocks_behind_blocks_have_the_plain_meta_gradient(check, downsampling):
    check(
        ResNet12Space(input_shape=SHAPE, ways=3, pool=2, downsampling=downsampling),
        TWO_BLOCKS,
        switches={},
        step_weights=EVERY,
        second_order=True,
        query_norm="transductive",
    )


@each_query_norm
@pytest.mark.parametrize(
    ("step_weights", "steps"), [(EVERY, {0, 1, 2}), (LAST, {2})], ids=["multi-step", "last"]
)
def test_the_query_images_statistics_are_the_plain_ones(check, step_weights, steps, query_norm):
    result, observed = check(
        *SEQUENTIAL,
        switches={"running_statistics": True},
        step_weights=step_weights,
        second_order=False,
        query_norm=query_norm,
    )
    assert result.statistics.keys() == steps
    for step, layers in result.statistics.items():
        assert layers.keys() == {"conv0", "conv1"}
        for layer, moments in layers.items():
            for task, plain in enumerate(observed):
                mean, variance = plain[step][layer]
                assert moments.mean[task].tolist() == pytest.approx(mean.tolist(), abs=1e-12)
                assert moments.variance[task].tolist() == pytest.approx(variance.tolist())


def test_statistics_are_observed_only_where_they_are_kept(check):
    how = {"step_weights": EVERY, "second_order": False, "query_norm": "transductive"}
    result, _ = check(*SEQUENTIAL, switches={}, **how)
    assert not result.statistics


@each_norm
@pytest.mark.parametrize(("space", "text"), [SEQUENTIAL, RESIDUAL], ids=["vgg9", "resnet12"])
def test_the_folded_network_is_the_adapted_one(draw_episodes, perturb, norms, space, text):
    network = space.network(space.parse(text))
    fresh = initialise([network], steps=STEPS, rate=0.3, seed=0, **norms)
    parameters, episodes = perturb(fresh), draw_episodes(SHAPE, tasks=1)
    weights = adapted_weights(network, parameters, episodes.support_images, episodes.support_labels)
    how = {"step": STEPS - 1, "query_norm": "deployed"}
    expected = query_logits(network, parameters, weights, episodes, **how)[0]
    scales = norms_at(parameters, STEPS - 1)
    statistics = support_statistics(network, weights, scales, episodes.support_images)
    folded = network.folded(
        {name: tensor[0] for name, tensor in weights.items()},
        {name: tensor.detach() for name, tensor in scales.items()},
        {
            name: Moments(*(part[0].detach() for part in moments))
            for name, moments in statistics.items()
        },
    )
    with torch.no_grad():
        torch.testing.assert_close(folded(episodes.query_images[0]), expected.detach())
