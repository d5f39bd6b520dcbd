import math

import pytest
import torch

from metanas.data import EpisodeSampler, EpisodeSettings
from metanas.meta import Accuracy, evaluate, evaluate_loss, initialise, meta_loss
from metanas.parallel import Group

STEPS = 3


@pytest.fixture
def network(small_space):
    return small_space.network(small_space.parse("k3c64relu-k3c64relu"))


@pytest.fixture
def parameters(network):
    return initialise([network], steps=STEPS, rate=0.1, seed=0).detached()


@pytest.fixture
def sampler(patterns):
    return EpisodeSampler(patterns, EpisodeSettings(3, 1, 2), seed=0)


def test_the_interval_is_that_of_a_mean():
    accuracy = Accuracy.of(torch.tensor([0.2, 0.4, 0.6, 0.8]))
    assert accuracy.accuracy == pytest.approx(0.5)
    assert accuracy.interval == pytest.approx(1.959964 * math.sqrt(0.2 / 3) / 2)
    assert accuracy.episodes == 4


def test_the_interval_covers_the_true_mean_as_often_as_it_says():
    draws = torch.rand((2000, 100), generator=torch.Generator().manual_seed(0)) ** 2
    covered = [abs((a := Accuracy.of(row)).accuracy - 1 / 3) <= a.interval for row in draws]
    assert 0.93 < sum(covered) / len(covered) < 0.97


def test_one_episode_has_no_interval():
    assert math.isnan(Accuracy.of(torch.tensor([1.0])).interval)


def test_evaluation_is_over_the_sampler_s_episodes(network, parameters, sampler):
    done = []
    found = evaluate(
        Group(), network, parameters, sampler, episodes=7, batch=3, observer=done.append
    )
    assert sorted(set(done)) == [3, 6, 9]
    for norm in ("deployed", "transductive"):
        by_hand = torch.cat(
            [
                meta_loss(
                    network,
                    parameters,
                    sampler.batch(index, 3),
                    step_weights=[0, 0, 1],
                    second_order=False,
                    query_norm=norm,
                ).accuracies
                for index in range(3)
            ]
        )
        assert found[norm] == Accuracy.of(by_hand)
        assert found[norm].episodes == 9


def test_the_loss_of_a_search_is_that_of_the_last_step(network, parameters, sampler):
    episodes = sampler.batch(0, 4)
    loss, accuracy = evaluate_loss(network, parameters, episodes, query_norm="deployed")
    result = meta_loss(
        network,
        parameters,
        episodes,
        step_weights=[0, 0, 1],
        second_order=False,
        query_norm="deployed",
    )
    assert loss == pytest.approx(float(result.loss), rel=1e-6)
    assert accuracy == float(result.accuracies.mean())
    other, _ = evaluate_loss(network, parameters, episodes, query_norm="transductive")
    assert other != loss


def test_running_statistics_add_a_protocol(network, sampler):
    kept = initialise([network], steps=STEPS, rate=0.1, seed=0, running_statistics=True).detached()
    found = evaluate(Group(), network, kept, sampler, episodes=4, batch=2)
    assert list(found) == ["deployed", "transductive", "running"]
    by_hand = [
        meta_loss(
            network,
            kept,
            sampler.batch(index, 2),
            step_weights=[0, 0, 1],
            second_order=False,
            query_norm="running",
        ).accuracies
        for index in range(2)
    ]
    assert found["running"] == Accuracy.of(torch.cat(by_hand))
