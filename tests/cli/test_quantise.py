"""`metanas quantise` as a user meets it."""

import json

import pytest

from metanas.meta import OuterSettings
from metanas.parallel import Workers
from metanas.runs import FOUND, RunFolder, RunSettings, train_network
from support.metanas_command import assert_one_clear_line


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder with a network that has seen one task."""
    settings = RunSettings(ways=2, queries=2, train_queries=1, workers=1)
    folder = RunFolder.create(tmp_path_factory.mktemp("quantise") / "run", settings)
    outer = OuterSettings(epochs=1, iterations=1, tasks=1, inner_steps=1)
    with Workers(1) as workers:
        train_network(workers, folder, FOUND, "k3c16relu", outer)
    return folder


def test_both_files_run_on_this_machine(command, trained):
    code, out, err = command("quantise", trained.path, "--device", "local", "--episodes", 6)
    assert code == 0
    assert out == ""
    told = err.splitlines()[-3:]
    assert told[0].startswith("float32 accuracy ")
    assert told[1].startswith("int8    accuracy ")
    assert "points (" in told[1]
    verdict = json.loads(trained.quantisation.read_text())
    assert err.count("rejected: ") == len(verdict["reasons"])
    assert ("kept: " in err) == verdict["kept"] == trained.int8_model.exists()


@pytest.mark.parametrize("device", ["eyeriss", "local-native"])
def test_a_device_without_int8_is_refused_before_anything_is_exported(command, trained, device):
    trained.model.unlink(missing_ok=True)
    code, _, err = command("quantise", trained.path, "--device", device, "--episodes", 6)
    assert code == 1
    assert_one_clear_line(err, f"no runtime of {device} has int8", "float32")
    assert not trained.model.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["RUN"], 2, "--device"),
        (["RUN", "--device", "local", "--episodes", "5"], 2, "6"),
        (["RUN", "--device", "nothing"], 1, "unknown device 'nothing'"),
        (["RUN", "--device", "eyeriss", "--episodes", "6"], 1, "no runtime of eyeriss has int8"),
        (["RUN", "--device", "local", "--name", "absent"], 1, "no trained 'absent'"),
        (["nowhere", "--device", "local"], 1, "nowhere is no run folder"),
    ],
)
def test_bad_input_gives_one_clear_message(command, trained, arguments, code, said):
    given = [str(trained.path) if word == "RUN" else word for word in arguments]
    ended, out, err = command("quantise", *given)
    assert ended == code
    assert out == ""
    if code == 1:
        assert_one_clear_line(err, said)
    else:
        assert said in err
