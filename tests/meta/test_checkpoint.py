import pytest
import torch
from safetensors.torch import save_file

from metanas.errors import CheckpointError, SettingsMismatchError
from metanas.meta import Checkpoint, check_same_settings, initialise, load_checkpoint

SETTINGS = {"rate": 0.1, "space": "vgg9", "constraints": ["params<=70000"], "deep": True}


@pytest.fixture
def checkpoint(small_space):
    network = small_space.network(small_space.parse("k3c64relu"))
    parameters = initialise([network], steps=2, rate=0.1, seed=3)
    moments = {
        "adapted/conv0.bias:exp_avg": torch.rand(64),
        "rates/head1.bias:step": torch.ones(()),
    }
    return Checkpoint(7, SETTINGS, parameters, moments)


def test_round_trip(checkpoint, tmp_path):
    path = tmp_path / "new" / "net.safetensors"
    checkpoint.save(path)
    loaded = load_checkpoint(path)
    assert (loaded.step, loaded.settings) == (7, SETTINGS)
    named = dict(loaded.parameters.named())
    for name, tensor in checkpoint.parameters.named():
        assert torch.equal(named[name], tensor)
    assert loaded.optimiser.keys() == checkpoint.optimiser.keys()
    for name, tensor in checkpoint.optimiser.items():
        assert torch.equal(loaded.optimiser[name], tensor)


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
