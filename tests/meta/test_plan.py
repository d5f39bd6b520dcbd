from dataclasses import asdict, replace

import pytest

from metanas.errors import InvalidSettingsError, SettingsMismatchError
from metanas.meta import Checkpoint, OuterSettings, load_checkpoint, meta_train
from metanas.parallel import Group
from metanas.search import ProgressiveShrinking, ShrinkingSettings

ALONE = Group()
SHORT = {"epochs": 1, "iterations": 1, "tasks": 2, "inner_steps": 2}

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_super_network_keeps_no_running_statistics(make_plan, small_space):
    chooser = ProgressiveShrinking(small_space, ShrinkingSettings(), seed=0)
    with pytest.raises(InvalidSettingsError, match="super-network keeps no running statistics"):
        make_plan(small_space, chooser, small_space.corners(), running_statistics=True)


def test_the_query_images_need_statistics_that_are_kept(make_plan, small_space):
    plan = make_plan(small_space)
    with pytest.raises(InvalidSettingsError, match="query_norm is 'running'"):
        replace(plan, query_norm="running")
    kept = make_plan(small_space, running_statistics=True)
    assert replace(kept, query_norm="running").query_norm == "running"


def forget(path, *names):
    """Make the checkpoint one from before there were such settings."""
    checkpoint = load_checkpoint(path)
    settings = {n: value for n, value in checkpoint.settings.items() if n not in names}
    older = Checkpoint(checkpoint.step, settings, checkpoint.parameters, checkpoint.optimiser)
    older.save(path)


@pytest.fixture
def older(make_plan, small_space, files):
    """A checkpoint from before there were switches."""
    meta_train(ALONE, make_plan(small_space, **SHORT), files)
    before = ("epochs", "iterations", "tasks", "inner_steps", "inner_rate", "rate", "final_rate")
    before = (*before, "first_order_share", "multi_step_share", "seed")
    later = asdict(OuterSettings()).keys() - set(before)
    assert "learned_rates" in later
    forget(files.checkpoint, *later, "validation_tasks", "patience", "accelerator")
    return files


def test_a_checkpoint_from_before_the_switches_means_their_defaults(make_plan, small_space, older):
    meta_train(ALONE, make_plan(small_space, **SHORT), older)


def test_a_checkpoint_from_before_the_switches_is_no_other_algorithm_s(
    make_plan, small_space, older
):
    plan = make_plan(small_space, **SHORT, learned_rates=False)
    with pytest.raises(SettingsMismatchError, match="learned_rates was True, not False"):
        meta_train(ALONE, plan, older)
