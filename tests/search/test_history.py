import numpy as np
import pytest

from metanas.search.history import History
from metanas.search.journal import SearchRound


def make_round(number, task_set, outcomes, *, poor=()):
    """`outcomes`: text to loss; the accuracy is 1 - loss. `poor` saw but one of two tasks."""
    texts = (*outcomes, *poor)
    return SearchRound(
        round=number,
        task_set=task_set,
        architectures=texts,
        tasks=(2,) * len(outcomes) + (1,) * len(poor),
        losses=(*outcomes.values(), *(0.0 for _ in poor)),
        accuracies=tuple(1 - loss for loss in outcomes.values()) + (1.0,) * len(poor),
        costs={},
        evaluations=7,
        seconds=0.1,
    )


def test_nothing_has_happened():
    history = History()
    assert history.parents == history.compared == []
    assert history.known == set()
    assert history.seen([], 0) is None


def test_those_that_saw_few_tasks_are_known_but_not_compared():
    history = History([make_round(0, 0, {"a": 0.5, "b": 0.25}, poor=["lucky"])])
    assert history.known == {"a", "b", "lucky"}
    assert history.compared == history.parents == ["a", "b"]
    assert history.losses(["b", "a"]).tolist() == [0.25, 0.5]
    assert history.evaluations == 7


def test_the_same_tasks_again_tell_nothing_new():
    rounds = [make_round(0, 0, {"a": 0.5, "b": 0.25}), make_round(1, 0, {"a": 0.5, "c": 0.75})]
    history = History(rounds)
    assert history.losses("abc").tolist() == [0.5, 0.25, 0.75]
    assert history.parents == ["a", "c"]
    assert history.seen(["c", "a"], 0).tolist() == [[0.75, 0.5], [0.25, 0.5]]
    assert history.seen(["c", "a"], 1) is None


def test_harder_tasks_are_no_blemish():
    """On the second set a and b are each 1 worse, so that c's 1.25 is as good as b's 0.25."""
    first = make_round(0, 0, {"a": 0.5, "b": 0.25})
    second = make_round(1, 1, {"a": 1.5, "b": 1.25, "c": 1.25})
    third = make_round(2, 1, {"a": 1.5, "b": 1.25, "d": 1.0})
    history = History([first, second, third])
    assert history.losses("abcd") == pytest.approx([0.5, 0.25, 0.25, 0.0])


def test_outcomes_on_several_sets_are_averaged():
    """a does 0.25 worse than before against b; all in all the second set is as hard."""
    rounds = [make_round(0, 0, {"a": 0.5, "b": 0.5}), make_round(1, 1, {"a": 0.75, "b": 0.25})]
    history = History(rounds)
    assert history.losses("ab") == pytest.approx([0.625, 0.375])


def test_a_sets_difficulty_is_that_of_its_first_round():
    rounds = [
        make_round(0, 0, {"a": 0.5}),
        make_round(1, 1, {"a": 1.5}),
        make_round(2, 1, {"b": 1.0}),
    ]
    assert History(rounds).losses("ab") == pytest.approx([0.5, 0.0])


def test_a_history_is_the_same_whether_grown_or_read_back():
    rng = np.random.default_rng(0)
    rounds = [
        make_round(n, n // 2, {text: float(rng.random()) for text in "abcdef"[n : n + 3]})
        for n in range(4)
    ]
    grown = History()
    for line in rounds:
        grown.add(line)
    assert grown.losses("abcdef").tolist() == History(rounds).losses("abcdef").tolist()
