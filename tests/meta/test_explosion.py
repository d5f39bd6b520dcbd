"""Training that explodes is stopped, and says from what it could be gone on with."""

import math

import pytest

from metanas.errors import DivergenceError
from metanas.files import read_json_lines
from metanas.meta import Fixed, load_checkpoint, meta_train
from metanas.meta.explosion import GUESSES, STEPS, ExplosionWatch
from metanas.parallel import Group

ALONE = Group()
LIMIT = GUESSES * math.log(3)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def script(monkeypatch):
    """Training in which every outer step has the loss that is asked for, and does nothing."""

    def with_losses(losses):
        def outer_step(group, plan, training, architecture, step):
            return losses[step], 0.5

        monkeypatch.setattr("metanas.meta.outer_loop.outer_step", outer_step)

    return with_losses


def test_only_steps_in_a_row_count():
    watch = ExplosionWatch(ways=3)
    for loss in [LIMIT + 1] * (STEPS - 1) + [LIMIT - 1] + [LIMIT + 1] * (STEPS - 1):
        watch.see(loss)
        assert not watch.exploded
        assert watch.exploding == (loss > LIMIT)
    watch.see(LIMIT + 1)
    assert watch.exploded


def test_real_inner_rates_explode_before_any_checkpoint(make_plan, small_space, files):
    """Steps of this length throw every task's loss far beyond that of guessing."""
    plan = make_plan(
        small_space,
        Fixed(small_space.parse("k1c64relu")),
        epochs=STEPS + 5,
        iterations=1,
        inner_rate=1e4,
        first_order_share=1.0,
    )
    with pytest.raises(DivergenceError) as caught:
        meta_train(ALONE, plan, files)
    assert f"{STEPS} outer steps in a row" in caught.value.what
    assert "not come to a checkpoint" in caught.value.hint
    assert len(read_json_lines(files.metrics)) == STEPS - 1
    assert not files.checkpoint.exists()


def test_the_last_good_checkpoint_is_from_before(make_plan, small_space, files, script):
    script([1.0] * 7 + [LIMIT + 1] * 93)
    plan = make_plan(small_space, epochs=50, iterations=2)
    with pytest.raises(DivergenceError) as caught:
        meta_train(ALONE, plan, files)
    assert f"{files.checkpoint} holds the last good state, that after 6" in caught.value.hint
    assert f"in step {6 + STEPS}" in caught.value.what
    assert load_checkpoint(files.checkpoint).step == 6
    kept = files.checkpoint.read_bytes()
    with pytest.raises(DivergenceError) as again:  # it is resumed, and comes to the same end
        meta_train(ALONE, plan, files)
    assert str(again.value) == str(caught.value)
    assert files.checkpoint.read_bytes() == kept


def test_a_spike_is_survived_and_its_epoch_not_saved(make_plan, small_space, files, script):
    script([1.0, 1.0, 1.0, LIMIT + 1, 1.0, 1.0])
    saved = []

    def look(line):
        if line["step"] % 2:
            saved.append(load_checkpoint(files.checkpoint).step)

    meta_train(ALONE, make_plan(small_space, epochs=3, iterations=2), files, observer=look)
    assert saved == [2, 2, 6]


def test_a_spike_in_the_last_step_does_not_keep_training_from_its_end(
    make_plan, small_space, files, script
):
    script([1.0, LIMIT + 1])
    meta_train(ALONE, make_plan(small_space, epochs=1, iterations=2), files)
    assert load_checkpoint(files.checkpoint).ended
