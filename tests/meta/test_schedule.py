import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas.errors import InvalidSettingsError
from metanas.meta import ALGORITHMS, OuterSettings

SETTINGS = OuterSettings(
    epochs=20,
    iterations=50,
    inner_steps=5,
    rate=1e-2,
    final_rate=1e-4,
    first_order_share=0.3,
    multi_step_share=0.5,
)


@given(
    epochs=st.integers(1, 200),
    inner_steps=st.integers(1, 10),
    share=st.floats(0, 1),
    data=st.data(),
)
def test_step_weights_add_up_to_one_and_favour_the_last(epochs, inner_steps, share, data):
    settings = OuterSettings(epochs=epochs, inner_steps=inner_steps, multi_step_share=share)
    weights = settings.step_weights(data.draw(st.integers(0, epochs - 1)))
    assert len(weights) == inner_steps
    assert sum(weights) == pytest.approx(1)
    assert min(weights) >= 0
    assert weights[-1] == pytest.approx(max(weights))


def test_the_multi_step_loss_is_annealed_to_the_last_step():
    assert SETTINGS.step_weights(0) == pytest.approx([0.2] * 5)
    assert SETTINGS.step_weights(5) == pytest.approx([0.1] * 4 + [0.6])
    last = [SETTINGS.step_weights(epoch)[-1] for epoch in range(20)]
    assert last == sorted(last)
    assert all(SETTINGS.step_weights(epoch) == [0, 0, 0, 0, 1] for epoch in range(10, 20))
    assert SETTINGS.step_weights(9) != [0, 0, 0, 0, 1]


def test_without_a_multi_step_share_it_is_plain_maml():
    assert OuterSettings(multi_step_share=0.0, inner_steps=3).step_weights(0) == [0, 0, 1]


def test_second_derivatives_are_switched_on_once():
    assert [SETTINGS.second_order(epoch) for epoch in range(20)] == [False] * 6 + [True] * 14
    assert OuterSettings(first_order_share=0.0).second_order(0)
    assert not OuterSettings(epochs=4, first_order_share=1.0).second_order(3)


def test_the_outer_rate_is_a_cosine():
    assert SETTINGS.steps == 1000
    assert SETTINGS.rate_at(0) == pytest.approx(1e-2)
    assert SETTINGS.rate_at(999) == pytest.approx(1e-4)
    middle = (SETTINGS.rate_at(499) + SETTINGS.rate_at(500)) / 2
    assert middle == pytest.approx((1e-2 + 1e-4) / 2)
    rates = [SETTINGS.rate_at(step) for step in range(1000)]
    assert rates == sorted(rates, reverse=True)


def test_one_step_in_all_has_the_starting_rate():
    assert OuterSettings(epochs=1, iterations=1, rate=0.5).rate_at(0) == 0.5


@pytest.mark.parametrize("name", ["epochs", "iterations", "tasks", "inner_steps"])
def test_numbers_below_one_are_refused(name):
    with pytest.raises(InvalidSettingsError, match=f"{name} is 0 .*at least 1"):
        OuterSettings(**{name: 0})


@pytest.mark.parametrize("name", ["inner_rate", "rate"])
@pytest.mark.parametrize("rate", [0.0, -0.1, math.inf, math.nan])
def test_rates_that_train_nothing_are_refused(name, rate):
    with pytest.raises(InvalidSettingsError, match=f"{name} is {rate} .*above 0"):
        OuterSettings(**{name: rate})


@pytest.mark.parametrize("rate", [-1e-9, math.inf, math.nan])
def test_a_final_rate_may_be_zero_but_no_less(rate):
    assert OuterSettings(final_rate=0).rate_at(49_999) == 0
    with pytest.raises(InvalidSettingsError, match=f"final_rate is {rate}"):
        OuterSettings(final_rate=rate)


@pytest.mark.parametrize("name", ["first_order_share", "multi_step_share"])
@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_shares_are_from_zero_to_one(name, share):
    with pytest.raises(InvalidSettingsError, match=f"{name} is {share} .*from 0 to 1"):
        OuterSettings(**{name: share})


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        ({"outer_update": "adam"}, "outer_update is 'adam'"),
        ({"adapted_norms": True}, "per_step_norms is True .*with adapted_norms"),
        ({"outer_update": "reptile"}, "learned_rates is True .*False with Reptile"),
    ],
)
def test_switches_that_exclude_each_other_are_refused(chosen, named):
    with pytest.raises(InvalidSettingsError, match=named):
        OuterSettings(**chosen)


@pytest.mark.parametrize(
    "changed",
    [
        {"learned_rates": True},
        {"adapted_norms": False},
        {"first_order_share": 0.5},
        {"multi_step_share": 0.1},
    ],
    ids=str,
)
def test_reptile_is_refused_what_needs_a_query_loss(changed):
    with pytest.raises(InvalidSettingsError, match=next(iter(changed))):
        OuterSettings(**ALGORITHMS["reptile"] | changed)
