import math
from collections import Counter

import pytest

from metanas.search import ProgressiveShrinking, ShrinkingSettings
from metanas.spaces import CellsSpace

SETTINGS = ShrinkingSettings(initial=0.9, final=0.1, start_epoch=10, end_epoch=30, decay=5)


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [
        (0, 0.9),
        (9, 0.9),
        (10, 0.9),
        (14, 0.1 + 0.8 * math.exp(-1)),
        (20, 0.1 + 0.8 * math.exp(-2.5)),
        (30, 0.1 + 0.8 * math.exp(-5)),
    ],
)
def test_equation_4(epoch, expected):
    assert SETTINGS.largest_probability(epoch) == pytest.approx(expected)


def test_shrinking_may_last_no_epoch():
    settings = ShrinkingSettings(start_epoch=3, end_epoch=3)
    assert settings.largest_probability(2) == settings.largest_probability(3) == 1.0
    assert settings.largest_probability(4) < 0.1


def test_the_largest_alone_is_trained_before_the_start(space):
    chooser = ProgressiveShrinking(space, ShrinkingSettings(start_epoch=2, end_epoch=5), seed=0)
    assert {chooser(step, epoch=1) for step in range(200)} == {space.largest()}


def test_any_is_trained_before_the_start_where_none_contains_the_others():
    space = CellsSpace(input_shape=(1, 8, 8), ways=2, channels=4)
    chooser = ProgressiveShrinking(space, ShrinkingSettings(start_epoch=2, end_epoch=5), seed=0)
    assert len({chooser(step, epoch=1) for step in range(200)}) == 200


def test_the_choice_is_a_function_of_seed_and_step(space):
    first, again, other = (ProgressiveShrinking(space, SETTINGS, seed) for seed in (1, 1, 2))
    steps = range(50)
    chosen = [first(step, epoch=30) for step in steps]
    assert [again(step, epoch=30) for step in reversed(steps)] == chosen[::-1]
    assert [other(step, epoch=30) for step in steps] != chosen


@pytest.mark.parametrize("epoch", [10, 20, 30])
def test_the_largest_is_trained_as_often_as_it_should(space, epoch):
    chooser = ProgressiveShrinking(space, SETTINGS, seed=0)
    chosen = Counter(chooser(step, epoch) for step in range(2000))
    share = chosen[space.largest()] / 2000
    assert share == pytest.approx(SETTINGS.largest_probability(epoch), abs=0.04)
    del chosen[space.largest()]
    assert {len(architecture.layers) for architecture in chosen} == {1, 2, 3, 4}
    assert len(chosen) > 0.5 * chosen.total()


def test_its_settings_are_flat(space):
    assert ProgressiveShrinking(space, SETTINGS, seed=0).settings == {
        "shrinking_initial": 0.9,
        "shrinking_final": 0.1,
        "shrinking_start_epoch": 10,
        "shrinking_end_epoch": 30,
        "shrinking_decay": 5,
    }
