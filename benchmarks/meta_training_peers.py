"""Meta-training by learn2learn and by HowToTrainYourMAMLPytorch, from their sources.

Both train the network that metanas trains, with leaky ReLU since the latter has it built in, from
the same start, under batch statistics, in second order. HowToTrainYourMAMLPytorch does just what
metanas does: batch-norm's scale and shift, one a step, and inner rates, one a tensor and step, are
learned by the outer loop. learn2learn knows neither, so it has less to do.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import types
from argparse import Namespace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from meta_training_work import BLOCKS, INNER_RATE, OUTER_RATE, STEPS, Work
from metanas.data import Episodes
from metanas.meta import MetaParameters


class Peer(Protocol):
    def train(self, episodes: Episodes) -> None:
        """One outer step of Adam."""

    def meta_gradient(self, episodes: Episodes) -> dict[str, Tensor]:
        """By metanas's names of the tensors, for those that both have."""


class Learn2Learn:
    """`learn2learn.algorithms.MAML` around a plain module."""

    def __init__(self, folder: Path, work: Work, start: MetaParameters) -> None:
        module = _Chain(work).to(start.adapted["conv0.weight"].dtype)
        self.leaves = {
            name.replace("head", f"head{BLOCKS}"): leaf for name, leaf in module.named_parameters()
        }
        _copy(start, self.leaves)
        self._maml = _learn2learn(folder)(module, lr=INNER_RATE)
        self._optimiser = torch.optim.Adam(module.parameters(), lr=OUTER_RATE)

    def train(self, episodes: Episodes) -> None:
        self._optimiser.zero_grad()
        self._loss(episodes).backward()
        self._optimiser.step()

    def meta_gradient(self, episodes: Episodes) -> dict[str, Tensor]:
        """By the names that metanas has for the tensors."""
        gradients = torch.autograd.grad(self._loss(episodes), list(self.leaves.values()))
        return dict(zip(self.leaves, gradients, strict=True))

    def _loss(self, episodes: Episodes) -> Tensor:
        losses = []
        for task in range(len(episodes)):
            learner = self._maml.clone()
            for _ in range(STEPS):
                logits = learner(episodes.support_images[task])
                learner.adapt(F.cross_entropy(logits, episodes.support_labels[task]))
            logits = learner(episodes.query_images[task])
            losses.append(F.cross_entropy(logits, episodes.query_labels[task]))
        return torch.stack(losses).mean()


class _Chain(nn.Module):
    def __init__(self, work: Work) -> None:
        super().__init__()
        self.pooled = work.downsampling == "pooled"
        self.pool = work.pool
        channels = [work.input_shape[0]] + [work.channels] * BLOCKS
        for i in range(BLOCKS):
            stride = 1 if self.pooled else 2
            conv = nn.Conv2d(channels[i], channels[i + 1], 3, stride=stride, padding=1)
            self.add_module(f"conv{i}", conv)
        self.norm = nn.BatchNorm2d(work.channels, affine=False, track_running_stats=False)
        self.head = nn.Linear(work.channels * work.pool**2, work.ways)

    def forward(self, x: Tensor) -> Tensor:
        for i in range(BLOCKS):
            x = F.leaky_relu(self.norm(self.get_submodule(f"conv{i}")(x)))
            if self.pooled:
                x = F.max_pool2d(x, 2, ceil_mode=True)
        if x.shape[-1] > self.pool:
            x = F.avg_pool2d(x, x.shape[-1])
        return self.head(x.flatten(1))


@lru_cache
def _learn2learn(folder: Path) -> Any:
    """Its MAML, without what the package imports for reinforcement learning and data sets."""
    for name in ("learn2learn", "learn2learn.algorithms"):
        package = types.ModuleType(name)
        package.__path__ = [str(folder.joinpath(*name.split(".")))]
        sys.modules[name] = package
    return importlib.import_module("learn2learn.algorithms.maml").MAML


class MamlPytorch:
    """`MAMLFewShotClassifier` of HowToTrainYourMAMLPytorch. Its max-pooling leaves edges out."""

    def __init__(self, folder: Path, work: Work, start: MetaParameters) -> None:
        arguments = Namespace(
            batch_size=work.tasks,
            cnn_num_filters=work.channels,
            conv_padding=1,
            dataset_name="noise",
            enable_inner_loop_optimizable_bn_params=False,
            first_order_to_second_order_epoch=-1,
            learnable_bn_beta=True,
            learnable_bn_gamma=True,
            learnable_per_layer_per_step_inner_loop_learning_rate=True,
            max_pooling=work.downsampling == "pooled",
            meta_learning_rate=OUTER_RATE,
            min_learning_rate=OUTER_RATE,
            multi_step_loss_num_epochs=1,
            norm_layer="batch_norm",
            num_classes_per_set=work.ways,
            num_stages=BLOCKS,
            number_of_training_steps_per_iter=STEPS,
            per_step_bn_statistics=True,
            second_order=True,
            seed=0,
            task_learning_rate=INNER_RATE,
            total_epochs=1,
            use_cuda=False,
            use_multi_step_loss_optimization=False,
        )
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        module = importlib.import_module("few_shot_learning_system")
        with contextlib.redirect_stdout(io.StringIO()):
            self._system = module.MAMLFewShotClassifier(
                (2, *work.input_shape), torch.device("cpu"), arguments
            ).to(start.adapted["conv0.weight"].dtype)
        self.leaves = {
            _name(name): tensor
            for name, tensor in self._system.classifier.named_parameters()
            if tensor.requires_grad
        }
        self._shape = (work.tasks, work.ways, -1)
        _copy(start, self.leaves)

    def train(self, episodes: Episodes) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self._system.run_train_iter([part.float() for part in self._parts(episodes)], 0)

    def meta_gradient(self, episodes: Episodes) -> dict[str, Tensor]:
        """By the names that metanas has for the tensors."""
        losses, _ = self._system.train_forward_prop(self._parts(episodes), 0)
        gradients = torch.autograd.grad(losses["loss"], list(self.leaves.values()))
        return dict(zip(self.leaves, gradients, strict=True))

    def _parts(self, episodes: Episodes) -> list[Tensor]:
        images = [episodes.support_images, episodes.query_images]
        labels = [episodes.support_labels, episodes.query_labels]
        shape = images[0].shape[2:]
        return [part.reshape(*self._shape, *shape) for part in images] + [
            part.reshape(self._shape) for part in labels
        ]


def _copy(start: MetaParameters, leaves: dict[str, nn.Parameter]) -> None:
    """Start there, with what has the same shape; classifiers of 1 x 1 maps are flat."""
    for name, leaf in leaves.items():
        tensor = start.adapted.get(name, start.norms.get(name))
        if tensor is not None and tensor.numel() == leaf.numel():
            leaf.data.copy_(tensor.detach().view_as(leaf))


def _name(name: str) -> str:
    """`layer_dict.conv0.norm_layer.bias` is `conv0.shift`."""
    layer, *_, part = name.removeprefix("layer_dict.").split(".")
    if "norm_layer" in name:
        return f"{layer}.{'scale' if part == 'weight' else 'shift'}"
    return f"{layer.replace('linear', f'head{BLOCKS}')}.{part.replace('weights', 'weight')}"
