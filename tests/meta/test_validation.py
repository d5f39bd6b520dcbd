"""Validation while training: the same tasks every epoch, the best epoch kept, and patience."""

import json
import math
from dataclasses import replace

import pytest
import torch

from metanas.data import EpisodeSampler, EpisodeSettings
from metanas.errors import InvalidSettingsError, SettingsMismatchError
from metanas.meta import (
    Fixed,
    Validation,
    ValidationSettings,
    evaluate_loss,
    initialise,
    load_checkpoint,
    meta_train,
    validate,
)
from metanas.meta.training_state import TrainingState
from metanas.parallel import Group

ALONE = Group()

pytestmark = pytest.mark.usefixtures("one_thread")


class Stopped(Exception):
    """Somebody pressed a key."""


@pytest.fixture
def sampler(patterns):
    return EpisodeSampler(patterns, EpisodeSettings(3, 1, 2), seed=5)


@pytest.fixture
def make_validated(make_plan, small_space, sampler):
    """A plan with validation of one small network."""

    def make(*, tasks=4, patience=0, **outer):
        architecture = small_space.parse("k3c64relu")
        settings = ValidationSettings(tasks=tasks, patience=patience)
        plan = make_plan(small_space, Fixed(architecture), **{"iterations": 2} | outer)
        return replace(plan, validation=Validation((architecture,), sampler, settings))

    return make


def lines_of(files):
    return [json.loads(line) for line in files.metrics.read_text().splitlines()]


def assert_same(ours, theirs):
    ours, theirs = dict(ours.named()), dict(theirs.named())
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def networks_of(space, *texts):
    networks = [space.network(space.parse(text)) for text in texts]
    return networks, initialise(networks, steps=2, rate=0.1, seed=0).detached()


def test_it_is_the_mean_over_the_first_tasks(small_space, sampler):
    (network,), parameters = networks_of(small_space, "k3c64relu")
    first, second = (
        evaluate_loss(network, parameters, sampler.batch(*batch), query_norm="deployed")
        for batch in ((0, 10), (1, 2))
    )
    found = validate(ALONE, [network], parameters, sampler, tasks=12, query_norm="deployed")
    by_hand = [(10 * a + 2 * b) / 12 for a, b in zip(first, second, strict=True)]
    assert found == pytest.approx(by_hand, rel=1e-12)


def test_networks_count_alike(small_space, sampler):
    networks, parameters = networks_of(small_space, "k3c64relu", "k1c64elu-k3c64relu")
    how = {"sampler": sampler, "tasks": 2, "query_norm": "transductive"}
    each = [validate(ALONE, [network], parameters, **how) for network in networks]
    assert each[0] != each[1]
    mean = [sum(values) / 2 for values in zip(*each, strict=True)]
    assert validate(ALONE, networks, parameters, **how) == pytest.approx(mean, rel=1e-12)


def test_every_epoch_ends_with_it_and_the_best_one_is_the_result(make_validated, files):
    plan = make_validated(epochs=3, rate=0.03)
    trained = meta_train(ALONE, plan, files)
    lines = lines_of(files)
    ends = [line for line in lines if "val_accuracy" in line]
    assert [line["step"] for line in ends] == [1, 3, 5]
    assert all("val_loss" in line for line in ends)
    best = max(ends, key=lambda line: (line["val_accuracy"], -line["val_loss"]))

    checkpoint = load_checkpoint(files.checkpoint)
    assert checkpoint.ended
    assert checkpoint.step == 6
    assert checkpoint.best.step == best["step"] + 1
    assert checkpoint.best.accuracy == pytest.approx(best["val_accuracy"], abs=1e-6)
    assert_same(checkpoint.trained, trained)
    assert_same(checkpoint.best.parameters, trained)
    network = plan.space.network(plan.corners[0])
    again = validate(
        ALONE,
        [network],
        trained.cut(network),
        plan.validation.sampler,
        tasks=4,
        query_norm="transductive",
    )
    assert again == (checkpoint.best.loss, checkpoint.best.accuracy)


def test_validation_changes_nothing_of_the_training(make_validated, files, tmp_path):
    plan = make_validated(epochs=2)
    meta_train(ALONE, plan, files)
    other = type(files)(tmp_path / "other.safetensors", tmp_path / "other.jsonl")
    plain = meta_train(ALONE, replace(plan, validation=None), other)
    assert_same(load_checkpoint(files.checkpoint).parameters, plain)


@pytest.mark.parametrize("stopped_at", [1, 2, 3])
def test_interrupted_training_keeps_its_best_epoch(make_validated, files, tmp_path, stopped_at):
    plan = make_validated(epochs=3, rate=0.1)
    elsewhere = type(files)(tmp_path / "other.safetensors", tmp_path / "other.jsonl")
    whole = meta_train(ALONE, plan, elsewhere)

    def stop(line):
        if line["step"] == stopped_at:
            raise Stopped

    with pytest.raises(Stopped):
        meta_train(ALONE, plan, files, observer=stop)
    assert_same(meta_train(ALONE, plan, files), whole)
    ours, theirs = load_checkpoint(files.checkpoint), load_checkpoint(elsewhere.checkpoint)
    assert_same(ours.parameters, theirs.parameters)
    assert ours.optimiser.keys() == theirs.optimiser.keys()
    assert all(torch.equal(tensor, theirs.optimiser[n]) for n, tensor in ours.optimiser.items())
    assert (ours.best.step, ours.best.loss) == (theirs.best.step, theirs.best.loss)
    for mine, other in zip(lines_of(files), lines_of(elsewhere), strict=True):
        assert mine | {"seconds": 0} == other | {"seconds": 0}


def test_patience_ends_training_and_what_was_spoilt_does_not_count(make_validated, files, tmp_path):
    """An outer rate that spoils what was learned; the result is as if training had ended before."""
    steady = {"iterations": 1, "rate": 0.5, "final_rate": 0.5}
    steady |= {"first_order_share": 1.0, "multi_step_share": 0.0}
    plan = make_validated(epochs=50, patience=2, **steady)
    trained = meta_train(ALONE, plan, files)
    checkpoint = load_checkpoint(files.checkpoint)
    best = checkpoint.best.step
    assert checkpoint.ended
    assert checkpoint.step == len(lines_of(files)) == best + 2 < 50

    shorter = replace(make_validated(epochs=best, **steady), validation=None)
    other = type(files)(tmp_path / "other.safetensors", tmp_path / "other.jsonl")
    assert_same(trained, meta_train(ALONE, shorter, other))

    def never(line):
        raise AssertionError(f"{line} was done again")

    written = files.checkpoint.read_bytes()
    assert_same(meta_train(ALONE, plan, files, observer=never), trained)
    assert files.checkpoint.read_bytes() == written


@pytest.mark.parametrize("changed", [{"tasks": 3}, {"patience": 1}])
def test_other_validation_is_refused(make_validated, files, changed):
    meta_train(ALONE, make_validated(epochs=1), files)
    before = files.checkpoint.read_bytes()
    with pytest.raises(SettingsMismatchError, match=r"validation_tasks was 4|patience was 0"):
        meta_train(ALONE, make_validated(epochs=1, **changed), files)
    assert files.checkpoint.read_bytes() == before


def test_accuracy_decides_and_then_the_loss(make_validated, files):
    plan = make_validated()
    state = TrainingState(plan.initialise(), plan.settings(ALONE), files, ALONE.device)
    kept = []
    for step, outcome in enumerate(
        [(math.nan, 0.9), (2.0, 0.5), (1.0, 0.5), (1.5, 0.5), (math.inf, 0.9), (3.0, 0.6)]
    ):
        state.step = step
        state.keep_if_best(*outcome, state.parameters)
        kept.append(state.best and state.best.step)
    assert kept == [None, 1, 2, 2, 2, 5]


def test_a_validation_that_diverges_is_null_and_never_the_best(make_validated, files, monkeypatch):
    monkeypatch.setattr("metanas.meta.outer_loop.validate", lambda *_, **__: (math.nan, 1.0))
    meta_train(ALONE, make_validated(epochs=1), files)
    assert lines_of(files)[-1]["val_loss"] is None
    assert load_checkpoint(files.checkpoint).best is None


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"tasks": -1}, "-1 validation tasks"),
        ({"tasks": 1, "patience": -2}, "-2 epochs"),
        ({"patience": 3}, "patience of 3 epochs has nothing"),
    ],
)
def test_settings_that_make_no_sense(settings, told):
    with pytest.raises(InvalidSettingsError, match=told):
        ValidationSettings(**settings)
