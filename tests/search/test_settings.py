import pytest

from metanas.errors import InvalidSettingsError
from metanas.search import SearchSettings


@pytest.mark.parametrize(
    ("tasks", "first", "reduction", "rungs"),
    [
        (16, 2, 4, (2, 6, 8)),
        (16, 1, 4, (1, 3, 12)),
        (16, 16, 4, (16,)),
        (16, 99, 4, (16,)),
        (3, 2, 4, (2, 1)),
        (8, 1, 2, (1, 1, 2, 4)),
        (1, 2, 4, (1,)),
    ],
)
def test_each_comparison_multiplies_the_tasks_up_to_all(tasks, first, reduction, rungs):
    settings = SearchSettings(tasks=tasks, first_tasks=first, reduction=reduction)
    assert settings.rungs == rungs
    assert sum(settings.rungs) == tasks


def test_a_part_goes_on_and_with_the_elite_enough_for_one():
    settings = SearchSettings(population=100, elite_share=0.1, reduction=4)
    assert settings.survivors(90, elite=10) == 23
    assert settings.survivors(23, elite=10) == 6
    assert settings.survivors(25, elite=0) == 10
    assert settings.survivors(8, elite=0) == 8
    assert settings.survivors(0, elite=10) == 0


@pytest.mark.parametrize(("rounds", "each", "sets"), [(200, 5, 40), (201, 5, 41), (3, 5, 1)])
def test_rounds_share_tasks(rounds, each, sets):
    assert SearchSettings(rounds=rounds, task_rounds=each).task_sets == sets


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"population": 0}, "population is 0, less than 1"),
        ({"rounds": 0}, "rounds is 0"),
        ({"task_rounds": 0}, "task_rounds is 0"),
        ({"first_tasks": 0}, "first_tasks is 0"),
        ({"queries": 0}, "queries is 0"),
        ({"finalists": 0}, "finalists is 0"),
        ({"final_tasks": -1}, "final_tasks is -1"),
        ({"reduction": 1}, "reduction is 1, less than 2"),
        ({"elite_share": 1.5}, "elite_share is 1.5, not from 0 to 1"),
        ({"crossover_share": float("nan")}, "crossover_share is nan"),
    ],
)
def test_numbers_out_of_their_range_are_refused(wrong, told):
    with pytest.raises(InvalidSettingsError, match=told):
        SearchSettings(**wrong)
