from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from metanas.errors import CheckpointError, SettingsMismatchError
from metanas.meta import Best, Checkpoint, check_same_settings, initialise, load_checkpoint

SETTINGS = {"rate": 0.1, "space": "vgg9", "constraints": ["params<=70000"], "deep": True}


def assert_same(ours, theirs):
    ours, theirs = dict(ours.named()), dict(theirs.named())
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


@pytest.fixture
def checkpoint(small_space):
    network = small_space.network(small_space.parse("k3c64relu"))
    parameters = initialise([network], steps=2, rate=0.1, seed=3)
    moments = {
        "adapted/conv0.bias:exp_avg": torch.rand(64),
        "rates/head1.bias:step": torch.ones(()),
    }
    better = initialise([network], steps=2, rate=0.2, seed=4)
    return Checkpoint(7, SETTINGS, parameters, moments, Best(5, 0.1 + 0.2, 2 / 3, better))


def test_round_trip(checkpoint, tmp_path):
    path = tmp_path / "new" / "net.safetensors"
    checkpoint.save(path)
    loaded = load_checkpoint(path)
    assert (loaded.step, loaded.settings) == (7, SETTINGS)
    assert_same(loaded.parameters, checkpoint.parameters)
    assert loaded.optimiser.keys() == checkpoint.optimiser.keys()
    for name, tensor in checkpoint.optimiser.items():
        assert torch.equal(loaded.optimiser[name], tensor)
    assert_same(loaded.best.parameters, checkpoint.best.parameters)
    assert_same(loaded.trained, checkpoint.best.parameters)
    assert (loaded.best.step, loaded.best.loss, loaded.best.accuracy) == (5, 0.1 + 0.2, 2 / 3)


def test_without_validation_the_last_parameters_count(checkpoint, tmp_path):
    path = tmp_path / "net.safetensors"
    replace(checkpoint, best=None).save(path)
    loaded = load_checkpoint(path)
    assert loaded.best is None
    assert_same(loaded.trained, checkpoint.parameters)


@pytest.mark.parametrize(
    ("step", "best", "patience", "ended"),
    [
        (11, None, 0, False),
        (12, None, 0, True),
        (6, 3, 1, True),
        (6, 3, 2, False),
        (9, 3, 2, True),
        (3, None, 1, True),
        (9, 3, 0, False),
    ],
)
def test_training_ends_with_its_steps_or_its_patience(checkpoint, step, best, patience, ended):
    settings = {"epochs": 4, "iterations": 3, "patience": patience}
    found = best and replace(checkpoint.best, step=best)
    assert replace(checkpoint, step=step, settings=settings, best=found).ended == ended


def test_a_full_disk_leaves_the_old_one(checkpoint, tmp_path, full_disk):
    path = tmp_path / "net.safetensors"
    checkpoint.save(path)
    before = path.read_bytes()
    with pytest.raises(OSError, match="File too large"), full_disk():
        checkpoint.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": "something else"},
        {"format": "metanas-checkpoint-1", "step": "1"},
        {"format": "metanas-checkpoint-1", "step": "one", "settings": "{}"},
        {"format": "metanas-checkpoint-1", "step": "1", "settings": "{"},
        {"format": "metanas-checkpoint-1", "step": "1", "settings": "{}"},  # its tensors are odd
    ],
)
def test_other_safetensors_files_are_refused(tmp_path, metadata):
    path = tmp_path / "odd.safetensors"
    save_file({"weight": torch.zeros(1)}, path, metadata=metadata)
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


@pytest.mark.parametrize("best", ["[]", "5", "{", '{"step": 1}', '{"step": 1, "loss": 1}'])
def test_a_broken_best_epoch_is_refused(checkpoint, tmp_path, best):
    path = tmp_path / "net.safetensors"
    checkpoint.save(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata=metadata | {"best": best})
    with pytest.raises(CheckpointError, match=r"net\.safetensors"):
        load_checkpoint(path)


def test_an_absent_checkpoint_says_how_to_make_one(tmp_path):
    with pytest.raises(CheckpointError, match="metanas train"):
        load_checkpoint(tmp_path / "none.safetensors")


def test_settings_that_differ_are_all_named(tmp_path):
    check_same_settings(tmp_path, SETTINGS, dict(SETTINGS))
    asked = SETTINGS | {"rate": 0.2, "new": 1}
    del asked["deep"]
    with pytest.raises(SettingsMismatchError) as caught:
        check_same_settings(tmp_path, SETTINGS, asked)
    assert "deep was True, not None, new was None, not 1, rate was 0.1, not 0.2" in str(
        caught.value
    )
