"""Training in a run folder: validation, the best epoch, what a checkpoint of old lacks."""

import json
from dataclasses import asdict

import pytest
import torch

from metanas.meta import ALGORITHMS, OuterSettings, ValidationSettings, load_checkpoint, validate
from metanas.parallel import Group, Workers
from metanas.runs import (
    SUPERNET,
    RunFolder,
    evaluate_network,
    load_trained,
    outer_settings,
    train_network,
    train_supernet,
)
from metanas.runs.training import representatives
from metanas.search import ShrinkingSettings

NETWORK = "k1c64relu"
VALIDATION = ValidationSettings(tasks=2)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def workers():
    with Workers(1) as one:
        yield one


@pytest.fixture
def new_folder(settings, tmp_path):
    return lambda name: RunFolder.create(tmp_path / name, settings)


def outer(**settings):
    return OuterSettings(**{"iterations": 1, "tasks": 1, "inner_steps": 1} | settings)


def validated_in(folder, name):
    lines = [json.loads(line) for line in folder.training(name).metrics.read_text().splitlines()]
    return [line["val_accuracy"] for line in lines if "val_accuracy" in line]


def assert_same(ours, theirs):
    ours, theirs = dict(ours.named()), dict(theirs.named())
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_what_counts_is_the_best_epoch_and_goes_with_the_run(workers, new_folder):
    folder = new_folder("run")
    patient = ValidationSettings(tasks=2, patience=1)
    spoiling = outer(epochs=20, rate=0.5, final_rate=0.5)
    trained = train_network(workers, folder, "net", NETWORK, spoiling, patient)
    checkpoint = load_checkpoint(folder.training("net").checkpoint)
    assert checkpoint.step == checkpoint.best.step + 1 < 20
    assert max(validated_in(folder, "net")) == pytest.approx(checkpoint.best.accuracy, abs=1e-6)
    assert_same(load_trained(folder, "net"), trained)
    assert_same(load_trained(folder, "net"), checkpoint.best.parameters)

    other = new_folder("other")
    other.take_over(folder, "net")
    assert_same(load_trained(other, "net"), trained)
    here, there = (evaluate_network(workers, f, "net", episodes=20) for f in (folder, other))
    assert here["deployed"] == there["deployed"]


def test_a_super_network_is_validated_by_several_of_its_networks(workers, new_folder):
    folder = new_folder("run")
    shrinking = ShrinkingSettings(start_epoch=1, end_epoch=2)
    train_supernet(workers, folder, outer(epochs=2), shrinking, VALIDATION)
    assert len(validated_in(folder, SUPERNET)) == 2
    best = load_checkpoint(folder.training(SUPERNET).checkpoint).best
    assert_same(load_trained(folder, SUPERNET), best.parameters)

    data = folder.settings.load_data()
    space = folder.settings.make_space(data)
    judged = representatives(space, seed=0)
    assert judged[0] == space.largest()
    assert len(set(judged)) == 8
    by_hand = validate(
        Group(),
        [space.network(architecture) for architecture in judged],
        best.parameters,
        folder.settings.sampler(data, "val"),
        tasks=2,
        query_norm="transductive",
    )
    assert by_hand == (best.loss, best.accuracy)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_trains_a_super_network(workers, new_folder, algorithm):
    settings = outer(epochs=2, **ALGORITHMS[algorithm])
    folder = new_folder("run")
    train_supernet(workers, folder, settings, ShrinkingSettings(start_epoch=1, end_epoch=2))
    checkpoint = load_checkpoint(folder.training(SUPERNET).checkpoint)
    assert outer_settings(checkpoint.settings) == settings


def test_settings_that_a_checkpoint_does_not_know_have_their_defaults():
    kept = asdict(OuterSettings(epochs=7, inner_steps=2)) | {"data": "glyphs"}
    del kept["learned_rates"], kept["per_step_norms"]
    assert outer_settings(kept) == OuterSettings(epochs=7, inner_steps=2)
