from dataclasses import replace

import pytest
import torch

from metanas.data import EpisodeSampler, EpisodeSettings
from metanas.meta import evaluate, load_checkpoint, meta_train
from metanas.parallel import Group

ALONE = Group()
HOW = {"running_statistics": True, "epochs": 2, "iterations": 2, "tasks": 2, "inner_steps": 2}

pytestmark = pytest.mark.usefixtures("one_thread")


class Stopped(Exception):
    """Somebody pressed a key."""


def stop(line):
    if line["step"] == 2:
        raise Stopped


def test_they_are_saved_and_gone_on_from(make_plan, small_space, files, tmp_path):
    plan = make_plan(small_space, **HOW)
    elsewhere = type(files)(tmp_path / "other.safetensors", tmp_path / "other.jsonl")
    whole = meta_train(ALONE, plan, elsewhere)
    with pytest.raises(Stopped):
        meta_train(ALONE, plan, files, observer=stop)
    halfway = load_checkpoint(files.checkpoint).parameters
    resumed = dict(meta_train(ALONE, plan, files).named())
    for name, tensor in whole.named():
        assert torch.equal(tensor, resumed[name]), name
    last = whole.statistics["conv0.mean"][-1]
    assert last.any()
    assert not torch.equal(last, halfway.statistics["conv0.mean"][-1])


def test_they_help_to_classify_one_image_at_a_time(make_plan, small_space, files, patterns):
    plan = make_plan(small_space, **HOW | {"epochs": 12, "first_order_share": 1.0, "rate": 3e-3})
    trained = meta_train(ALONE, plan, files)
    network = small_space.network(plan.chooser.architecture)
    sampler = EpisodeSampler(patterns, EpisodeSettings(3, 1, 2), seed=9)
    kept, unkept = (
        evaluate(ALONE, network, parameters, sampler, episodes=40)["running"].accuracy
        for parameters in (trained, replace(trained, statistics=plan.initialise().statistics))
    )
    assert kept > unkept + 0.1
