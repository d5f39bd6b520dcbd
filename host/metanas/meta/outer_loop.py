"""The outer loop: meta-training over many tasks, on several workers, resumable."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from metanas.data import EpisodeSampler
from metanas.errors import CheckpointError, DivergenceError, InvalidSettingsError
from metanas.files import append_json_line, read_json_lines, write_json_lines
from metanas.meta.checkpoint import Checkpoint, check_same_settings, load_checkpoint
from metanas.meta.inner_loop import QueryNorm, meta_loss
from metanas.meta.parameters import MetaParameters, initialise
from metanas.meta.schedule import OuterSettings
from metanas.parallel import Group
from metanas.spaces import Architecture, SearchSpace

A_co = TypeVar("A_co", bound=Architecture, covariant=True)
A = TypeVar("A", bound=Architecture)

LEAST_RATE = 1e-4
"""Learned inner rates are kept above this: a negative one unlearns the support set."""

Observer = Callable[[dict[str, Any]], None]
"""Called with each outer step's metrics."""


class Chooser(Protocol[A_co]):
    """Which architecture an outer step trains."""

    @property
    def settings(self) -> dict[str, Any]:
        """Flat values for provenance."""

    def __call__(self, step: int, epoch: int) -> A_co:
        """The architecture of an outer step; the same on every worker."""


@dataclass(frozen=True, slots=True)
class Fixed(Generic[A]):
    """Always the same architecture: plain MAML++."""

    architecture: A

    @property
    def settings(self) -> dict[str, Any]:
        """Its text."""
        return {"architecture": str(self.architecture)}

    def __call__(self, step: int, epoch: int) -> A:  # noqa: ARG002 - a Chooser's arguments
        """The architecture."""
        return self.architecture


@dataclass(frozen=True, slots=True)
class TrainingFiles:
    """Where training keeps itself: a checkpoint, and a line of metrics an outer step."""

    checkpoint: Path
    metrics: Path


class _Training:
    """Parameters and optimiser, made fresh or read from the checkpoint."""

    def __init__(
        self, fresh: MetaParameters, settings: dict[str, Any], files: TrainingFiles
    ) -> None:
        self.settings = settings
        self.files = files
        self.step = 0
        self.parameters = fresh
        saved: dict[str, Tensor] = {}
        if files.checkpoint.exists():
            checkpoint = load_checkpoint(files.checkpoint)
            check_same_settings(files.checkpoint, checkpoint.settings, settings)
            self.step, self.parameters = checkpoint.step, checkpoint.parameters
            saved = checkpoint.optimiser
        self.tensors = dict(self.parameters.named())
        for tensor in self.tensors.values():
            tensor.requires_grad_()
        self.optimiser = torch.optim.Adam(self.tensors.values())
        self._restore(saved)

    def _restore(self, saved: dict[str, Tensor]) -> None:
        for full_name, value in saved.items():
            name, _, part = full_name.rpartition(":")
            self.optimiser.state[self.tensors[name]][part] = value

    def save(self, step: int) -> None:
        moments = {
            f"{name}:{part}": value
            for name, tensor in self.tensors.items()
            for part, value in self.optimiser.state[tensor].items()
        }
        Checkpoint(step, self.settings, self.parameters, moments).save(self.files.checkpoint)

    def forget_metrics_after_checkpoint(self) -> None:
        try:
            lines = read_json_lines(self.files.metrics)
            kept = [line for line in lines if line["step"] < self.step]
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"cannot read metrics {self.files.metrics}: {error}", hint="delete that file"
            ) from error
        if len(kept) < len(lines):
            write_json_lines(self.files.metrics, kept)


@dataclass(frozen=True, kw_only=True)
class TrainingPlan(Generic[A]):
    """What to meta-train, on what, and how.

    Args:
        space: of the architectures.
        corners: architectures whose parameters together are to be learned.
        chooser: the architecture of each outer step.
        sampler: training tasks.
        outer: schedule.
        query_norm: batch-norm protocol of the query images.
        context: what else a checkpoint must have been made by to be gone on from, such as the
            data set.
    """

    space: SearchSpace[A]
    corners: tuple[A, ...]
    chooser: Chooser[A]
    sampler: EpisodeSampler
    outer: OuterSettings
    query_norm: QueryNorm
    context: dict[str, Any]

    def settings(self, workers: int) -> dict[str, Any]:
        """Flat values that a checkpoint is compared by."""
        plan = self.context | self.space.settings | asdict(self.outer) | self.chooser.settings
        return plan | {"query_norm": self.query_norm, "workers": workers}

    def initialise(self) -> MetaParameters:
        """Fresh parameters."""
        return initialise(
            [self.space.network(corner) for corner in self.corners],
            steps=self.outer.inner_steps,
            rate=self.outer.inner_rate,
            seed=self.outer.seed,
        )


def meta_train(
    group: Group,
    plan: TrainingPlan[A],
    files: TrainingFiles,
    *,
    observer: Observer | None = None,
) -> MetaParameters:
    """Meta-train by MAML++, going on from the checkpoint if there is one.

    Args:
        group: the workers; each takes its share of every outer step's tasks.
        plan: what to train.
        files: checkpoint (saved every epoch) and metrics.
        observer: called with every outer step's metrics, in the leading process.

    Raises:
        SettingsMismatchError: the checkpoint was made by other settings.
        CheckpointError: checkpoint or metrics cannot be read.
        InvalidSettingsError: there are more workers than tasks in an outer step.
        DivergenceError: the loss or its gradient is not a number.
    """
    if plan.outer.tasks < group.size:
        raise InvalidSettingsError(
            f"{plan.outer.tasks} tasks in an outer step cannot be shared by {group.size} workers",
            hint="ask for more tasks or fewer workers",
        )
    training = _Training(plan.initialise(), plan.settings(group.size), files)
    if group.leads:
        training.forget_metrics_after_checkpoint()
    iterations = plan.outer.iterations
    for step in range(training.step, plan.outer.steps):
        started = time.perf_counter()
        architecture = plan.chooser(step, step // iterations)
        loss, accuracy = _outer_step(group, plan, training, architecture, step)
        if not group.leads:
            continue
        metrics = {
            "step": step,
            "epoch": step // iterations,
            "loss": round(loss, 6),
            "accuracy": round(accuracy, 6),
            "seconds": round(time.perf_counter() - started, 4),
            "architecture": str(architecture),
        }
        append_json_line(files.metrics, metrics)
        if (step + 1) % iterations == 0:
            training.save(step + 1)
        if observer:
            observer(metrics)
    return training.parameters.detached()


def _outer_step(
    group: Group, plan: TrainingPlan[A], training: _Training, architecture: A, step: int
) -> tuple[float, float]:
    """One step of Adam on the mean gradient over all tasks; gives their mean loss and accuracy."""
    tasks = len(group.share(plan.outer.tasks))
    weight = tasks * group.size / plan.outer.tasks  # shares differ where workers do not divide them
    epoch = step // plan.outer.iterations
    network = plan.space.network(architecture)
    training.optimiser.zero_grad(set_to_none=True)
    result = meta_loss(
        network,
        training.parameters.cut(network),
        plan.sampler.batch(step, tasks, rank=group.rank),
        step_weights=plan.outer.step_weights(epoch),
        second_order=plan.outer.second_order(epoch),
        query_norm=plan.query_norm,
    )
    (result.loss * weight).backward()  # type: ignore[no-untyped-call]
    outcome = torch.stack([result.loss.detach(), result.accuracies.mean()]) * weight
    gradients = [tensor.grad for tensor in training.tensors.values() if tensor.grad is not None]
    group.average([outcome, *gradients])
    if not all(bool(tensor.isfinite().all()) for tensor in (outcome, *gradients)):
        raise DivergenceError(
            f"loss or gradient is not finite in outer step {step} (loss {float(outcome[0]):.4g})",
            hint=f"lower the learning rates; {training.files.checkpoint} holds the last good state",
        )
    for options in training.optimiser.param_groups:
        options["lr"] = plan.outer.rate_at(step)
    training.optimiser.step()
    with torch.no_grad():
        for rates in training.parameters.rates.values():
            rates.clamp_(min=LEAST_RATE)
    return float(outcome[0]), float(outcome[1])
