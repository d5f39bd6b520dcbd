"""What is meta-trained in the comparison with other projects, and metanas's own way of doing it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from metanas.data import EpisodeSampler, EpisodeSettings, ImageSet
from metanas.meta import Fixed, OuterSettings, TrainingFiles, TrainingPlan
from metanas.meta.outer_step import outer_step
from metanas.meta.training_state import TrainingState
from metanas.parallel import Group
from metanas.spaces import VGG9Space

BLOCKS = 4
STEPS = 5
INNER_RATE = 0.125
OUTER_RATE = 1e-3


@dataclass(frozen=True)
class Work:
    """What is trained on: tasks of one shot and 3x3 convolutions.

    Args:
        input_shape: of an image.
        ways: classes of a task.
        queries: query images a class.
        channels: of each of the four convolutions.
        downsampling: by max-pooling or by stride.
        pool: side of the map that the classifier sees.
        tasks: in an outer step.
    """

    input_shape: tuple[int, int, int]
    ways: int
    queries: int
    channels: int
    downsampling: Literal["pooled", "strided"] = "strided"
    pool: int = 1
    tasks: int = 1

    def plan(self) -> TrainingPlan[Any]:
        """Second order throughout, the loss behind the last step alone, on random images."""
        space = VGG9Space(
            input_shape=self.input_shape,
            ways=self.ways,
            downsampling=self.downsampling,
            pool=self.pool,
        )
        architecture = space.parse("-".join([f"k3c{self.channels}leakyrelu"] * BLOCKS))
        return TrainingPlan(
            space=space,
            corners=(architecture,),
            chooser=Fixed(architecture),
            sampler=EpisodeSampler(
                _noise(self.input_shape), EpisodeSettings(self.ways, 1, self.queries), seed=0
            ),
            outer=OuterSettings(
                tasks=self.tasks,
                inner_steps=STEPS,
                inner_rate=INNER_RATE,
                rate=OUTER_RATE,
                first_order_share=0.0,
                multi_step_share=0.0,
            ),
            query_norm="transductive",
            context={},
        )


def _noise(shape: tuple[int, int, int], classes: int = 40, each: int = 20) -> ImageSet:
    return ImageSet(
        images=np.random.default_rng(0).integers(0, 256, (classes * each, *shape), np.uint8),
        offsets=np.arange(classes + 1) * each,
        classes=tuple(map(str, range(classes))),
        split="train",
        mean=(0.5,) * shape[0],
        std=(0.3,) * shape[0],
    )


@lru_cache
def _training(work: Work) -> tuple[TrainingPlan[Any], TrainingState]:
    plan = work.plan()
    files = TrainingFiles(Path("unused.safetensors"), Path("unused.jsonl"))  # no step saves
    return plan, TrainingState(plan.initialise(), {}, files, torch.device("cpu"))


def train_metanas(group: Group, work: Work, step: int) -> None:
    """The outer step that `metanas train` makes, with drawing the tasks; on every worker."""
    plan, training = _training(work)
    outer_step(group, plan, training, plan.chooser(step, 0), step)
