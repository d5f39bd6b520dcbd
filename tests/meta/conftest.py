import numpy as np
import pytest
import torch

from metanas.data import Episodes, EpisodeSampler, EpisodeSettings
from metanas.meta import Fixed, MetaParameters, OuterSettings, TrainingFiles, TrainingPlan
from metanas.spaces import VGG9Space

WAYS = 3


def draw_episodes(shape, *, tasks=3, ways=WAYS, shots=2, queries=3, seed=0, dtype=torch.float64):
    """Random images: no two values of a pooling window are equal, so gradients are unique."""
    generator = torch.Generator().manual_seed(seed)

    def draw(count):
        images = torch.randn((tasks, ways * count, *shape), generator=generator, dtype=dtype)
        labels = torch.arange(ways).repeat_interleave(count).expand(tasks, -1)
        return images, labels

    return Episodes(*draw(shots), *draw(queries), classes=np.zeros((tasks, ways), np.int64))


def perturb(parameters, *, seed=1, dtype=torch.float64):
    """Leaves of another precision with every value moved, so that none is a special one."""
    generator = torch.Generator().manual_seed(seed)
    return MetaParameters.from_named(
        {
            name: (
                tensor.detach().to(dtype)
                * (1 + 0.2 * torch.randn(tensor.shape, generator=generator, dtype=dtype))
                + 0.05 * torch.rand(tensor.shape, generator=generator, dtype=dtype)
            ).requires_grad_(tensor.requires_grad)
            for name, tensor in parameters.named()
        }
    )


@pytest.fixture(name="draw_episodes")
def _draw_episodes():
    return draw_episodes


@pytest.fixture(name="perturb")
def _perturb():
    return perturb


@pytest.fixture
def small_space():
    """Networks of 12x12 images; the base channels only, so that the largest is quick."""
    return VGG9Space(input_shape=(1, 12, 12), ways=WAYS, global_expansion=False)


@pytest.fixture
def make_plan(patterns):
    """A plan to train on the patterns."""

    def make(space, chooser=None, corners=None, *, context=None, **outer):
        chosen = outer or {}
        settings = {"epochs": 3, "iterations": 3, "tasks": 2, "inner_steps": 2} | chosen
        chooser = chooser or Fixed(space.parse("k3c64relu-" * 3 + "k3c64relu"))
        return TrainingPlan(
            space=space,
            corners=corners or (chooser.architecture,),
            chooser=chooser,
            sampler=EpisodeSampler(patterns, EpisodeSettings(WAYS, 1, 2), seed=0),
            outer=OuterSettings(**settings),
            query_norm="transductive",
            context=context or {"data": "patterns"},
        )

    return make


@pytest.fixture
def files(tmp_path):
    return TrainingFiles(tmp_path / "net.safetensors", tmp_path / "net.metrics.jsonl")
