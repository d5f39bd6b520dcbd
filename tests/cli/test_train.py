"""`metanas train`: its algorithms, validation, and what it refuses before it makes a folder."""

import json

import pytest
import torch
from PIL import Image

from metanas.meta import load_checkpoint
from support.metanas_command import assert_one_clear_line, contents

TINY = "--epochs 1 --iterations 1 --tasks 1 --inner-steps 1 --train-queries 1 --workers 1".split()
SMALL = [*TINY, *"--ways 2 --queries 2".split()]
NETWORK = [*SMALL, *"--episodes 20 --architecture k1c16relu".split()]


def metrics_of(run, name):
    return [json.loads(line) for line in (run / f"{name}.metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("maml++", {"first_order_share": 0.3, "multi_step_share": 0.1, "learned_rates": True}),
        ("maml", {"first_order_share": 0, "multi_step_share": 0, "learned_rates": False}),
        ("fomaml", {"first_order_share": 1, "multi_step_share": 0, "learned_rates": False}),
        ("reptile", {"outer_update": "reptile", "adapted_norms": True, "learned_rates": False}),
    ],
)
def test_each_algorithm_trains_a_network(command, tmp_path, algorithm, expected):
    run = tmp_path / "run"
    how = ("--algorithm", algorithm, "--validation-tasks", 2)
    code, _, err = command("train", run, *NETWORK, *how)
    assert code == 0, err
    settings = load_checkpoint(run / "baseline.safetensors").settings
    assert expected.items() <= settings.items()
    entry = json.loads((run / "evaluation.json").read_text())["baseline"]
    assert entry["transductive"]["episodes"] == 20


def test_shares_replace_those_of_the_algorithm(command, tmp_path):
    how = ("--first-order-share", 1, "--multi-step-share", 0.5, "--validation-tasks", 0)
    code, _, err = command("train", tmp_path, *NETWORK, *how)
    assert code == 0, err
    settings = load_checkpoint(tmp_path / "baseline.safetensors").settings
    assert (settings["first_order_share"], settings["multi_step_share"]) == (1, 0.5)


def test_running_statistics_are_a_third_protocol_of_evaluation(command, tmp_path):
    code, _, err = command("train", tmp_path, *NETWORK, "--running-statistics")
    assert code == 0, err
    entry = json.loads((tmp_path / "evaluation.json").read_text())["baseline"]
    assert entry["running"]["episodes"] == 20


def test_a_super_network_has_no_running_statistics(command, tmp_path):
    code, _, err = command("train", tmp_path / "run", *SMALL, "--running-statistics")
    assert code == 1
    assert_one_clear_line(err, "running statistics")


def test_patience_ends_training_early_and_says_so(command, tmp_path):
    """Steps of this length spoil what was learned, so no epoch is much better than the first."""
    how = ["--epochs", 40, "--rate", 0.5, "--validation-tasks", 3, "--patience", 2]
    arguments = ("train", tmp_path, *NETWORK, *how)
    code, _, err = command(*arguments)
    assert code == 0, err
    lines = metrics_of(tmp_path, "baseline")
    assert len(lines) < 40
    assert all("val_accuracy" in line for line in lines)
    assert f"ended after {len(lines)} of 40 steps" in err
    before = contents(tmp_path)
    code, _, err = command(*arguments)
    assert code == 0, err
    changed = {path.name for path, data in contents(tmp_path).items() if before[path] != data}
    assert changed <= {"evaluation.json"}  # when it was looked at


def test_a_network_is_validated_by_default_and_a_super_network_is_not(command, tmp_path):
    for arguments in (NETWORK, SMALL):
        code, _, err = command("train", tmp_path, *arguments)
        assert code == 0, err
    assert "val_loss" in metrics_of(tmp_path, "baseline")[0]
    assert "val_loss" not in metrics_of(tmp_path, "supernet")[0]
    assert load_checkpoint(tmp_path / "baseline.safetensors").settings["validation_tasks"] == 100


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--first-order-share", "1.5"], "--first-order-share is 1.5"),
        (["--multi-step-share", "nan"], "--multi-step-share is nan"),
        (["--algorithm", "reptile", "--first-order-share", "0.5"], "--first-order-share is 0.5"),
        (["--algorithm", "reptile", "--multi-step-share", "0.5"], "must be 0 with Reptile"),
        (["--rate", "inf"], "--rate is inf"),
        (["--rate", "1e300"], "--rate is 1e+300"),
        (["--running-statistics"], "train it without --running-statistics"),
        (["--workers", "2"], "give --tasks 2, or more"),
        (["--inner-rate", "0"], "--inner-rate is 0"),
        (["--patience", "3"], "without validation tasks"),
        (["--architecture", "k3c65relu"], "no channels 65"),
        pytest.param(
            ["--accelerator", "cuda"],
            "no CUDA device",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU"),
        ),
    ],
)
def test_what_makes_no_sense_makes_no_folder(command, tmp_path, options, told):
    run = tmp_path / "run"
    code, _, err = command("train", run, *SMALL, *options)
    assert code == 1
    assert_one_clear_line(err, told)
    assert not run.exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--algorithm", "adam"],
        ["--patience", "-1"],
        ["--epochs", "many"],
        ["--rate", "nan"],
        ["--rotations", "some"],
        ["--seed", "99999999999999999999999"],
    ],
)
def test_values_that_no_option_takes_are_usage_errors(command, tmp_path, options):
    code, _, err = command("train", tmp_path / "run", *SMALL, *options)
    assert code == 2
    name, value = options
    assert name in err
    assert repr(value) in err
    assert "Input should" not in err
    assert "Value error" not in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["../x", "", "a b/ü", ".hidden", "supernet", "found", "Found"])
def test_a_name_that_is_no_file_name_or_is_taken_is_refused(command, tmp_path, name):
    code, _, err = command("train", tmp_path / "run", *NETWORK, "--name", name)
    assert code == 1
    assert_one_clear_line(err, repr(name), "name")
    assert not list(tmp_path.iterdir())


def test_a_name_without_a_network_is_a_usage_error(command, tmp_path):
    code, _, err = command("train", tmp_path / "run", *SMALL, "--name", "x")
    assert code == 2
    assert "--architecture" in err
    assert not (tmp_path / "run").exists()


def test_fewer_classes_than_ways(command, tmp_path):
    for number in range(20):
        folder = tmp_path / "data" / f"class{number}"
        folder.mkdir(parents=True)
        for image in range(4):
            Image.new("L", (28, 28), 40 * image).save(folder / f"{image}.png")
    own = ("--data", "folder", "--data-root", tmp_path / "data", "--queries", 2, "--ways", 30)
    code, _, err = command("train", tmp_path / "run", *TINY, *own)
    assert code == 1
    assert_one_clear_line(err, "classes, fewer than 30 ways", "fewer ways")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--algorithm", "maml"], "adapted_norms was False, not True"),
        (["--validation-tasks", "5"], "validation_tasks was 2, not 5"),
        (["--patience", "4"], "patience was 0, not 4"),
        (["--tasks", "2"], "tasks was 1, not 2"),
        (["--architecture", "k1c32relu"], "architecture was 'k1c16relu'"),
        (["--shots", "2"], "shots was 1, not 2"),
        (["--workers", "2"], "workers was 1, not 2"),
    ],
)
def test_a_run_resumed_with_other_settings_is_left_alone(command, tmp_path, options, told):
    first = [*NETWORK, "--validation-tasks", 2]
    code, _, err = command("train", tmp_path, *first)
    assert code == 0, err
    before = contents(tmp_path)
    code, _, err = command("train", tmp_path, *first, *options)
    assert code == 1
    assert_one_clear_line(err, told)
    assert contents(tmp_path) == before


def test_a_broken_run_file_says_what_to_do(command, tmp_path):
    (tmp_path / "run.json").write_text("{")
    code, _, err = command("export", tmp_path)
    assert code == 1
    assert_one_clear_line(err, "run.json", "restore the file")
