"""The batched inner loop against a plain one, in float64."""

import pytest
import torch
from torch.nn import functional as F

from metanas.errors import InvalidSettingsError
from metanas.meta import (
    adapted_weights,
    initialise,
    inner_loop,
    meta_loss,
    norms_at,
    query_logits,
    support_statistics,
)
from metanas.spaces import VGG9Space
from support.meta_gradients import assert_same_gradients
from support.plain_maml import batch_loss

STEPS = 3
LAST = [0.0, 0.0, 1.0]
EVERY = [0.2, 0.3, 0.5]
MIXED = "k3c16relu-k5c16elu-k1c32selu"
ARCHITECTURES = [MIXED, "k3c16sigmoid-k3c16relu6", "k5c16leakyrelu", "k1c16elu-" * 3 + "k3c16relu"]


def make(text, perturb, *, downsampling="pooled"):
    space = VGG9Space(input_shape=(2, 11, 9), ways=3, pool=2, downsampling=downsampling)
    architecture = space.parse(text)
    network = space.network(architecture)
    parameters = perturb(initialise([network], steps=STEPS, rate=0.3, seed=0))
    return space.layers(architecture), network, parameters


@pytest.mark.parametrize("query_norm", ["transductive", "deployed"])
@pytest.mark.parametrize("step_weights", [LAST, EVERY], ids=["last", "multi-step"])
@pytest.mark.parametrize("second_order", [True, False], ids=["second", "first"])
def test_loss_and_meta_gradient_are_the_plain_ones(
    draw_episodes, perturb, second_order, step_weights, query_norm
):
    layers, network, parameters = make(MIXED, perturb)
    episodes = draw_episodes((2, 11, 9))
    how = {"step_weights": step_weights, "second_order": second_order, "query_norm": query_norm}
    result = meta_loss(network, parameters, episodes, **how)
    expected, logits, _ = batch_loss(layers, parameters, episodes, **how)
    assert float(result.loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-12)
    right = logits.argmax(-1) == episodes.query_labels
    assert torch.equal(result.accuracies, right.float().mean(1))
    assert_same_gradients(result.loss, expected, parameters)


@pytest.mark.parametrize("downsampling", ["pooled", "strided"])
@pytest.mark.parametrize("text", ARCHITECTURES)
def test_every_kind_of_layer_has_the_plain_gradient(draw_episodes, perturb, text, downsampling):
    layers, network, parameters = make(text, perturb, downsampling=downsampling)
    episodes = draw_episodes((2, 11, 9), tasks=2)
    how = {"step_weights": EVERY, "second_order": True, "query_norm": "deployed"}
    result = meta_loss(network, parameters, episodes, **how)
    expected, *_ = batch_loss(layers, parameters, episodes, **how)
    assert_same_gradients(result.loss, expected, parameters)


def test_first_and_second_order_differ(draw_episodes, perturb):
    _, network, parameters = make(MIXED, perturb)
    episodes = draw_episodes((2, 11, 9))
    weight = parameters.adapted["conv0.weight"]
    first, second = (
        torch.autograd.grad(
            meta_loss(network, parameters, episodes, step_weights=LAST, second_order=order).loss,
            weight,
        )[0]
        for order in (False, True)
    )
    assert float((first - second).norm() / second.norm()) > 0.01


def test_a_task_does_not_see_the_others_of_its_batch(draw_episodes, perturb):
    _, network, parameters = make(MIXED, perturb)
    together = draw_episodes((2, 11, 9), tasks=3)
    weights = adapted_weights(network, parameters, together.support_images, together.support_labels)
    for task in range(3):
        alone = adapted_weights(
            network,
            parameters,
            together.support_images[task, None],
            together.support_labels[task, None],
        )
        for name, tensor in alone.items():
            torch.testing.assert_close(tensor[0], weights[name][task], rtol=1e-10, atol=1e-12)


def test_adaptation_lowers_the_support_loss(draw_episodes):
    space = VGG9Space(input_shape=(2, 11, 9), ways=3)
    network = space.network(space.parse(MIXED))
    parameters = initialise([network], steps=STEPS, rate=0.05, seed=0)
    episodes = draw_episodes((2, 11, 9), dtype=torch.float32)
    images, labels = episodes.support_images, episodes.support_labels
    norms = norms_at(parameters, 0)
    losses = [
        F.cross_entropy(network(weights, norms, images).flatten(0, 1), labels.flatten())
        for weights in inner_loop(network, parameters, images, labels, second_order=False)
    ]
    start = {name: t.expand(len(episodes), *t.shape) for name, t in parameters.adapted.items()}
    before = F.cross_entropy(network(start, norms, images).flatten(0, 1), labels.flatten())
    assert before > losses[0] > losses[1] > losses[2]


def test_adapted_weights_are_outside_any_graph(draw_episodes, perturb):
    _, network, parameters = make(MIXED, perturb)
    episodes = draw_episodes((2, 11, 9))
    weights = adapted_weights(network, parameters, episodes.support_images, episodes.support_labels)
    assert not any(tensor.requires_grad for tensor in weights.values())


@pytest.mark.parametrize("query_norm", ["transductive", "deployed"])
def test_only_the_deployed_protocol_classifies_one_image_at_a_time(
    draw_episodes, perturb, query_norm
):
    _, network, parameters = make(MIXED, perturb)
    episodes = draw_episodes((2, 11, 9), tasks=1, queries=2)
    weights = adapted_weights(network, parameters, episodes.support_images, episodes.support_labels)
    norms = norms_at(parameters, STEPS - 1)
    how = {"step": STEPS - 1, "query_norm": query_norm}
    together = query_logits(network, parameters, weights, episodes, **how)
    statistics = None
    if query_norm == "deployed":
        statistics = support_statistics(network, weights, norms, episodes.support_images)
    alone = torch.cat(
        [
            network(weights, norms, episodes.query_images[:, i : i + 1], statistics=statistics)
            for i in range(episodes.query_images.shape[1])
        ],
        dim=1,
    )
    assert torch.allclose(together, alone, rtol=1e-10) == (query_norm == "deployed")


def test_statistics_that_nobody_kept_are_refused(draw_episodes, perturb):
    _, network, parameters = make(MIXED, perturb)
    with pytest.raises(InvalidSettingsError, match="keep no running statistics"):
        meta_loss(
            network,
            parameters,
            draw_episodes((2, 11, 9), tasks=1),
            step_weights=LAST,
            query_norm="running",
        )
