import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas_agent.samples import Samples, median_interval


def made(values, wanted=0.01):
    samples = Samples(wanted)
    for value in values:
        samples.add(value)
    return samples


# Ranks of the sign-test interval as printed in tables of the binomial distribution
@pytest.mark.parametrize(("count", "rank"), [(6, 1), (8, 1), (9, 2), (11, 2), (12, 3), (20, 6)])
def test_interval_ranks(count, rank):
    assert median_interval(range(1, count + 1)) == (rank, count + 1 - rank)


@pytest.mark.parametrize("count", [6, 17, 44, 100, 999])
def test_the_interval_is_as_wide_as_the_binomial_distribution_says(count):
    low, high = median_interval(range(1, count + 1))
    outside = sum(_binomial(count, below) for below in range(low))
    assert outside <= 0.025
    assert outside + _binomial(count, low) + _binomial(count, low + 1) > 0.025
    assert high == count + 1 - low


def _binomial(count, hits):
    share = 0.5**count
    for i in range(hits):
        share *= (count - i) / (i + 1)
    return share


def test_the_interval_covers_the_true_median_as_often_as_it_says():
    rng = random.Random(0)
    hits = 0
    for _ in range(2000):
        low, high = median_interval(sorted(rng.expovariate(1.0) for _ in range(25)))
        hits += low <= 0.6931 <= high
    assert hits / 2000 == pytest.approx(0.957, abs=0.015)


def test_samples_worth_fewer_have_a_wider_interval():
    ordered = list(range(100))
    widths = [
        high - low
        for independent in (100, 50, 20, 6)
        for low, high in [median_interval(ordered, independent=independent)]
    ]
    assert widths == sorted(set(widths))


def test_independent_samples_are_worth_their_number():
    rng = random.Random(2)
    worth = [made(rng.random() for _ in range(200)).independent() for _ in range(50)]
    assert sum(worth) / 50 == pytest.approx(190, abs=15)


def test_samples_of_a_disturbed_machine_are_worth_fewer():
    """Slow for a while, then fast for a while: an autoregressive process of order 1."""
    rng = random.Random(3)
    correlation, worth = 0.8, []
    for _ in range(50):
        value, values = 0.0, []
        for _ in range(500):
            value = correlation * value + rng.gauss(0, 1)
            values.append(100 + value)
        worth.append(made(values).independent())
    exact = 500 * (1 - correlation) / (1 + correlation)
    assert exact <= sum(worth) / 50 <= 2.5 * exact


def test_equal_samples_are_worth_their_number():
    samples = made([2.0] * 20)
    assert samples.independent() == 20
    assert samples.doubt() == ""


@given(st.lists(st.floats(0.1, 10.0), min_size=1, max_size=80))
def test_figures_are_in_order(values):
    samples = made(values)
    low, high = samples.interval()
    assert min(values) <= low <= samples.quantile(0.5) <= high <= max(values)
    assert samples.quantile(0.1) <= samples.quantile(0.5) <= samples.quantile(0.9)
    assert min(6, len(values)) <= samples.independent() <= len(values)


def test_drift_is_of_the_newer_half():
    samples = made([1.0] * 10 + [1.1] * 10, wanted=0.06)
    assert samples.drift() == pytest.approx(0.1 / 1.05)
    assert not samples.drifts()
    assert made([1.0] * 10 + [1.1] * 10, wanted=0.04).drifts()


def test_the_first_half_can_be_forgotten():
    samples = made([3.0, 2.0, 9.0, 5.0, 4.0])
    samples.forget_first_half()
    assert len(samples) == 2
    assert samples.quantile(0.0) == 4.0
    assert samples.quantile(1.0) == 5.0


@pytest.mark.parametrize(
    ("values", "doubt"),
    [
        ([1.0] * 5, "5 samples have no 95% interval of the median"),
        ([0.0] * 9, "the clock did not move in 9 samples"),
        ([1.0, 2.0] * 10, "interval of ±33.3% after 20 samples"),
        ([1.0] * 6, ""),
    ],
)
def test_says_why_it_doubts(values, doubt):
    assert made(values).doubt() == doubt
