import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas.meta import OuterSettings

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
