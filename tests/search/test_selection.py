import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from metanas.search.selection import crowding, pareto_front, ranking

OBJECTIVES = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12).map(
        lambda s: (s[0], s[1] % 3 + 1)
    ),
    elements=st.integers(0, 5).map(float),
)


def beats(one, other):
    return (one <= other).all() and (one < other).any()


@given(objectives=OBJECTIVES)
def test_the_front_is_what_nothing_else_beats(objectives):
    front = pareto_front(objectives)
    expected = {
        row
        for row, candidate in enumerate(objectives)
        if not any(beats(other, candidate) for other in objectives)
    }
    assert set(front.tolist()) == expected
    assert len(front) == len(expected)
    assert objectives[front].tolist() == sorted(objectives[front].tolist())


@given(objectives=OBJECTIVES)
def test_nothing_is_ranked_before_what_beats_it(objectives):
    order = ranking(objectives)
    assert sorted(order.tolist()) == list(range(len(objectives)))
    ranked = objectives[order]
    for place, row in enumerate(ranked):
        assert not any(beats(later, row) for later in ranked[place + 1 :])


def test_one_objective_is_ranked_by_value_and_ties_by_place():
    assert ranking(np.array([[2.0], [1.0], [2.0], [0.0]])).tolist() == [3, 1, 0, 2]


def test_within_a_front_the_ends_come_first_and_then_those_with_most_room():
    front = np.array([[0.0, 10.0], [1.0, 9.0], [2.0, 8.0], [6.0, 4.0], [10.0, 0.0]])
    assert crowding(front) == pytest.approx([np.inf, 0.4, 1.0, 1.6, np.inf])
    assert ranking(front).tolist() == [0, 4, 3, 2, 1]
    beaten = np.vstack([[11.0, 11.0], front])
    assert ranking(beaten).tolist() == [1, 5, 4, 3, 2, 0]


def test_nothing_is_ranked():
    assert ranking(np.empty((0, 2))).tolist() == []
    assert ranking(np.empty((0, 1))).tolist() == []
    assert pareto_front(np.empty((0, 2))).tolist() == []
    assert crowding(np.empty((0, 2))).tolist() == []


def test_an_objective_that_is_the_same_for_all_gives_no_room():
    assert crowding(np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 4.0]]))[1] == 1.0
