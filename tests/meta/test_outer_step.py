"""An outer step of each algorithm against the plain gradient, in float64."""

from dataclasses import replace

import pytest
import torch

from metanas.data import EpisodeSampler, EpisodeSettings
from metanas.meta import ALGORITHMS, MetaParameters
from metanas.meta.outer_step import LEAST_RATE, outer_step
from metanas.meta.training_state import TrainingState
from metanas.parallel import Group
from support.meta_gradients import assert_same
from support.plain_maml import batch_loss, reptile_gradients

ALONE = Group()
TEXT = "k3c64elu-k1c64relu"
CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")


class DoubleSampler(EpisodeSampler):
    """Episodes in float64."""

    def batch(self, *args, **how):
        episodes = super().batch(*args, **how)
        return replace(
            episodes,
            support_images=episodes.support_images.double(),
            query_images=episodes.query_images.double(),
        )


@pytest.fixture
def begin(make_plan, small_space, files, perturb, patterns):
    """A plan of float64 tasks and the state that it begins with."""

    def make(query_norm="transductive", **outer):
        plan = make_plan(small_space, epochs=2, iterations=2, tasks=2, inner_steps=2, **outer)
        architecture = small_space.parse(TEXT)
        plan = replace(
            plan,
            corners=(architecture,),
            chooser=replace(plan.chooser, architecture=architecture),
            sampler=DoubleSampler(patterns, EpisodeSettings(3, 1, 2), seed=0),
            query_norm=query_norm,
        )
        fresh = perturb(plan.initialise())
        return plan, TrainingState(fresh, plan.settings(ALONE), files, CPU)

    return make


def leaves(parameters, learned):
    """A copy of which the same tensors are learned."""
    return MetaParameters.from_named(
        {
            name: tensor.detach().clone().requires_grad_(name in learned)
            for name, tensor in parameters.named()
        }
    )


def plain_gradients(plan, parameters, episodes, step):
    layers = plan.space.layers(plan.chooser.architecture)
    if plan.outer.outer_update == "reptile":
        moved = reptile_gradients(layers, parameters, episodes)
        return {f"adapted/{name}": gradient for name, gradient in moved.items()}
    epoch = step // plan.outer.iterations
    loss, *_ = batch_loss(
        layers,
        parameters,
        episodes,
        step_weights=plan.outer.step_weights(epoch),
        second_order=plan.outer.second_order(epoch),
        query_norm=plan.query_norm,
    )
    loss.backward()
    return {name: tensor.grad for name, tensor in parameters.named() if tensor.requires_grad}


@pytest.mark.parametrize("query_norm", ["transductive", "deployed"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_outer_step_has_the_plain_gradient(begin, algorithm, query_norm):
    annealed = {"first_order_share": 0.5, "multi_step_share": 0.5} if algorithm == "maml++" else {}
    plan, training = begin(query_norm, **ALGORITHMS[algorithm] | annealed)
    for step in range(plan.outer.steps):
        before = leaves(training.parameters, training.tensors)
        loss, accuracy = outer_step(ALONE, plan, training, plan.chooser.architecture, step)
        episodes = plan.sampler.batch(step, plan.outer.tasks, device=CPU)
        ours = {
            # A bias before batch-norm has no gradient where it is of no use.
            name: torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
            for name, tensor in training.tensors.items()
        }
        assert_same(ours, plain_gradients(plan, before, episodes, step))
        assert 0 < loss < 10
        assert 0 <= accuracy <= 1


def test_maml_pp_with_running_statistics_follows_the_query_images(begin):
    plan, training = begin("running", running_statistics=True, multi_step_share=0.5)
    assert not any(name.startswith("statistics/") for name in training.tensors)
    layers = plan.space.layers(plan.chooser.architecture)
    for step in range(plan.outer.steps):
        before = leaves(training.parameters, training.tensors)
        outer_step(ALONE, plan, training, plan.chooser.architecture, step)
        step_weights = plan.outer.step_weights(step // plan.outer.iterations)
        *_, observed = batch_loss(
            layers,
            before,
            plan.sampler.batch(step, plan.outer.tasks, device=CPU),
            step_weights=step_weights,
            second_order=False,
            query_norm="running",
        )
        for name, kept in before.statistics.items():
            layer, _, part = name.rpartition(".")
            for inner_step, weight in enumerate(step_weights):
                expected = kept[inner_step]
                if weight:
                    seen = [o[inner_step][layer][part == "variance"] for o in observed]
                    expected = 0.9 * expected + 0.1 * sum(seen) / len(seen)
                now = training.parameters.statistics[name][inner_step]
                torch.testing.assert_close(now, expected.detach(), rtol=1e-9, atol=1e-12)


def test_reptile_reports_the_query_loss_of_the_last_step(begin):
    plan, training = begin(**ALGORITHMS["reptile"])
    before = leaves(training.parameters, training.tensors)
    loss, accuracy = outer_step(ALONE, plan, training, plan.chooser.architecture, 0)
    episodes = plan.sampler.batch(0, plan.outer.tasks, device=CPU)
    expected, logits, _ = batch_loss(
        plan.space.layers(plan.chooser.architecture),
        before,
        episodes,
        step_weights=[0, 1],
        second_order=False,
        query_norm="transductive",
    )
    assert loss == pytest.approx(float(expected.detach()), rel=1e-12)
    right = logits.argmax(-1) == episodes.query_labels
    assert accuracy == pytest.approx(float(right.double().mean()))


def test_reptile_changes_the_trained_part_of_a_super_network_alone(begin, small_space):
    plan, training = begin(**ALGORITHMS["reptile"])
    part = small_space.parse("k1c64relu-k1c64relu")
    before = leaves(training.parameters, training.tensors)
    outer_step(ALONE, plan, training, part, 0)
    kernel, first = (
        parameters.adapted["conv0.weight"].detach() for parameters in (training.parameters, before)
    )
    moved = (kernel != first).flatten(2).any(1).any(0)
    assert moved.tolist() == [False] * 4 + [True] + [False] * 4  # the centre of 3x3


def test_rates_that_are_not_learned_stay_even_below_the_least(begin):
    plan, training = begin(learned_rates=False)
    for rates in training.parameters.rates.values():
        rates.fill_(LEAST_RATE / 10)
    before = leaves(training.parameters, ())
    outer_step(ALONE, plan, training, plan.chooser.architecture, 0)
    assert not any(name.startswith("rates/") for name in training.tensors)
    for name, rates in training.parameters.rates.items():
        assert torch.equal(rates, before.rates[name])
