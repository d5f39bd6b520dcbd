import json
from dataclasses import replace

import pytest
import torch

from metanas.errors import (
    CheckpointError,
    DivergenceError,
    InvalidSettingsError,
    SettingsMismatchError,
)
from metanas.meta import Fixed, load_checkpoint, meta_train
from metanas.parallel import Group
from metanas.search import ProgressiveShrinking, ShrinkingSettings

ALONE = Group()

pytestmark = pytest.mark.usefixtures("one_thread")


class Stopped(Exception):
    """Somebody pressed a key."""


def stop_at(step):
    def observe(line):
        if line["step"] == step:
            raise Stopped

    return observe


def metrics_of(files):
    lines = [json.loads(line) for line in files.metrics.read_text().splitlines()]
    for line in lines:
        assert line.pop("seconds") >= 0
    return lines


def assert_same_parameters(ours, theirs):
    theirs = dict(theirs.named())
    for name, tensor in ours.named():
        assert torch.equal(tensor, theirs.pop(name)), name
    assert not theirs


@pytest.fixture
def elsewhere(files, tmp_path):
    return type(files)(tmp_path / "other.safetensors", tmp_path / "other.metrics.jsonl")


@pytest.fixture
def shrinking_plan(make_plan, small_space):
    """A super-network of which each step trains another part; the largest alone in epoch 0."""
    chooser = ProgressiveShrinking(
        small_space, ShrinkingSettings(start_epoch=1, end_epoch=3, final=0.2), seed=0
    )
    return make_plan(small_space, chooser, small_space.corners(), first_order_share=0.5)


def test_training_learns(make_plan, small_space, files):
    plan = make_plan(
        small_space, epochs=5, iterations=10, tasks=4, first_order_share=1.0, rate=3e-3
    )
    meta_train(ALONE, plan, files)
    losses = [line["loss"] for line in metrics_of(files)]
    assert len(losses) == 50
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


def test_one_seed_gives_one_result(shrinking_plan, files, elsewhere):
    first = meta_train(ALONE, shrinking_plan, files)
    assert_same_parameters(first, meta_train(ALONE, shrinking_plan, elsewhere))
    assert metrics_of(files) == metrics_of(elsewhere)


def test_every_parameter_of_the_trained_part_moves(make_plan, small_space, files):
    plan = make_plan(small_space, epochs=1, iterations=1)
    trained = dict(meta_train(ALONE, plan, files).named())
    for name, before in plan.initialise().named():
        if "conv" not in name or "bias" not in name:  # batch-norm takes a convolution's bias away
            assert not torch.equal(before, trained[name]), name


@pytest.mark.parametrize("stopped_at", [1, 2, 4, 5, 7])
def test_interrupted_training_ends_as_if_it_had_not_been(
    shrinking_plan, files, elsewhere, stopped_at
):
    whole = meta_train(ALONE, shrinking_plan, elsewhere)
    with pytest.raises(Stopped):
        meta_train(ALONE, shrinking_plan, files, observer=stop_at(stopped_at))
    resumed_at = []
    resumed = meta_train(
        ALONE, shrinking_plan, files, observer=lambda line: resumed_at.append(line["step"])
    )
    assert_same_parameters(resumed, whole)
    assert metrics_of(files) == metrics_of(elsewhere)
    done = stopped_at + 1
    assert resumed_at == list(range(done - done % 3, 9))  # saved every epoch, that is 3 steps
    assert_same_parameters(load_checkpoint(files.checkpoint).parameters, whole)


def test_a_torn_line_of_metrics_is_forgotten(shrinking_plan, files, elsewhere):
    meta_train(ALONE, shrinking_plan, elsewhere)
    with pytest.raises(Stopped):
        meta_train(ALONE, shrinking_plan, files, observer=stop_at(2))
    with files.metrics.open("a") as stream:
        stream.write('{"step": 3, "epo')
    meta_train(ALONE, shrinking_plan, files)
    assert metrics_of(files) == metrics_of(elsewhere)


def test_a_kill_while_metrics_are_forgotten_loses_none(shrinking_plan, files, monkeypatch):
    with pytest.raises(Stopped):
        meta_train(ALONE, shrinking_plan, files, observer=stop_at(4))
    before = files.metrics.read_bytes()

    def killed(*args):
        raise Stopped

    monkeypatch.setattr("metanas.files.os.fsync", killed)
    with pytest.raises(Stopped):
        meta_train(ALONE, shrinking_plan, files)
    assert files.metrics.read_bytes() == before


def test_ended_training_does_nothing_again(shrinking_plan, files):
    first = meta_train(ALONE, shrinking_plan, files)
    written = [path.stat().st_mtime_ns for path in (files.checkpoint, files.metrics)]
    again = meta_train(ALONE, shrinking_plan, files, observer=stop_at(0))
    assert_same_parameters(first, again)
    assert [path.stat().st_mtime_ns for path in (files.checkpoint, files.metrics)] == written


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"outer": {"rate": 0.5}}, "rate was 0.001, not 0.5"),
        ({"outer": {"tasks": 4}}, "tasks was 2, not 4"),
        ({"context": {"data": "others"}}, "data was 'patterns', not 'others'"),
        ({"query_norm": "deployed"}, "query_norm was 'transductive', not 'deployed'"),
    ],
)
def test_other_settings_are_refused(make_plan, small_space, files, changed, named):
    plan = make_plan(small_space, epochs=1, iterations=2)
    meta_train(ALONE, plan, files)
    kept = files.checkpoint.read_bytes(), files.metrics.read_bytes()
    if "outer" in changed:
        changed = {"outer": replace(plan.outer, **changed["outer"])}
    with pytest.raises(SettingsMismatchError) as caught:
        meta_train(ALONE, replace(plan, **changed), files)
    assert named in str(caught.value)
    assert str(files.checkpoint) in str(caught.value)
    assert (files.checkpoint.read_bytes(), files.metrics.read_bytes()) == kept


def test_another_architecture_is_refused(make_plan, small_space, files):
    meta_train(ALONE, make_plan(small_space, epochs=1, iterations=1), files)
    other = Fixed(small_space.parse("k1c64relu"))
    with pytest.raises(SettingsMismatchError, match="architecture was 'k3c64relu-"):
        meta_train(ALONE, make_plan(small_space, other, epochs=1, iterations=1), files)


@pytest.mark.parametrize("kept_bytes", [0, 5, 1000, -1])
def test_a_truncated_checkpoint_is_refused(make_plan, small_space, files, kept_bytes):
    plan = make_plan(small_space, epochs=1, iterations=1)
    meta_train(ALONE, plan, files)
    torn = files.checkpoint.read_bytes()[:kept_bytes]
    files.checkpoint.write_bytes(torn)
    with pytest.raises(CheckpointError, match=r"net\.safetensors"):
        meta_train(ALONE, plan, files)
    assert files.checkpoint.read_bytes() == torn


def test_a_broken_metrics_file_is_refused(make_plan, small_space, files):
    files.metrics.write_text('{"step": 0}\nnonsense\n{"step": 2}\n')
    with pytest.raises(CheckpointError, match=r"net\.metrics\.jsonl"):
        meta_train(ALONE, make_plan(small_space), files)
    assert "nonsense" in files.metrics.read_text()


def test_divergence_is_an_error_and_keeps_the_last_good_state(make_plan, small_space, files):
    plan = make_plan(small_space, iterations=1, rate=1e30)
    with pytest.raises(DivergenceError) as caught:
        meta_train(ALONE, plan, files)
    assert str(files.checkpoint) in str(caught.value)
    checkpoint = load_checkpoint(files.checkpoint)
    assert checkpoint.step >= 1
    assert all(bool(tensor.isfinite().all()) for _, tensor in checkpoint.parameters.named())
    assert len(metrics_of(files)) == checkpoint.step


def test_a_gradient_that_overflows_is_never_saved(make_plan, small_space, files, monkeypatch):
    """A finite loss can have such a gradient, and the checkpoint would hold what it made."""
    average = Group.average

    def overflow(group, tensors):
        average(group, tensors)
        tensors[-1].fill_(torch.inf)

    monkeypatch.setattr(Group, "average", overflow)
    with pytest.raises(DivergenceError):
        meta_train(ALONE, make_plan(small_space, iterations=1), files)
    assert not files.checkpoint.exists()


def test_inner_rates_stay_positive(make_plan, small_space, files):
    trained = meta_train(ALONE, make_plan(small_space, rate=1.0, epochs=1, iterations=2), files)
    lowest = min(float(rates.min()) for rates in trained.rates.values())
    assert lowest == pytest.approx(1e-4)


def test_more_workers_than_tasks_are_refused(make_plan, small_space, files):
    with pytest.raises(InvalidSettingsError, match=r"2 tasks .* 3 workers"):
        meta_train(Group(0, 3), make_plan(small_space), files)
    assert not files.metrics.exists()
