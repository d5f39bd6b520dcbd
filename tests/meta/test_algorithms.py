from dataclasses import fields

import pytest

from metanas.meta import ALGORITHMS, OuterSettings


def test_each_is_settings_that_go_together():
    assert list(ALGORITHMS) == ["maml++", "maml", "fomaml", "reptile"]
    known = {field.name for field in fields(OuterSettings)}
    for chosen in ALGORITHMS.values():
        assert chosen.keys() <= known
        OuterSettings(**chosen)


def test_maml_pp_is_the_default():
    assert OuterSettings(**ALGORITHMS["maml++"]) == OuterSettings()


@pytest.mark.parametrize(("name", "second_order"), [("maml", True), ("fomaml", False)])
def test_maml_has_one_order_and_the_last_steps_loss_throughout(name, second_order):
    settings = OuterSettings(**ALGORITHMS[name], epochs=10, inner_steps=3)
    assert {settings.second_order(epoch) for epoch in range(10)} == {second_order}
    assert all(settings.step_weights(epoch) == [0, 0, 1] for epoch in range(10))
