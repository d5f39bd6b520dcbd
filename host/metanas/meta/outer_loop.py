"""The outer loop: meta-training over many tasks, on several workers, resumable."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

from metanas.errors import InvalidSettingsError
from metanas.files import append_json_line
from metanas.meta import explosion
from metanas.meta.explosion import ExplosionWatch
from metanas.meta.outer_step import outer_step
from metanas.meta.parameters import MetaParameters
from metanas.meta.plan import TrainingPlan
from metanas.meta.schedule import OuterSettings
from metanas.meta.training_state import TrainingFiles, TrainingState
from metanas.meta.validation import validate
from metanas.parallel import Group
from metanas.spaces import Architecture

A = TypeVar("A", bound=Architecture)

Observer = Callable[[dict[str, Any]], None]
"""Called with each outer step's metrics."""


def check_shares(outer: OuterSettings, workers: int, *, hint: str = "") -> None:
    """See that every worker has a task in each outer step.

    Args:
        outer: says how many tasks.
        workers: that share them.
        hint: what to do, where the number of tasks cannot be chosen.

    Raises:
        InvalidSettingsError: there are more workers than tasks.
    """
    if outer.tasks < workers:
        raise InvalidSettingsError(
            f"{outer.tasks} tasks in an outer step cannot be shared by {workers} workers",
            hint=hint or f"give --tasks {workers}, or more",
        )


def meta_train(
    group: Group,
    plan: TrainingPlan[A],
    files: TrainingFiles,
    *,
    observer: Observer | None = None,
) -> MetaParameters:
    """Meta-train, going on from the checkpoint if there is one.

    Args:
        group: the workers; each takes its share of every outer step's tasks.
        plan: what to train.
        files: checkpoint (saved every epoch) and metrics.
        observer: called with every outer step's metrics, in the leading process.

    Returns:
        The parameters of the best epoch; without validation those of the last one.

    Raises:
        SettingsMismatchError: the checkpoint was made by other settings.
        CheckpointError: checkpoint or metrics cannot be read.
        InvalidSettingsError: there are more workers than tasks in an outer step.
        DivergenceError: loss or gradient is not a number, or the loss exploded.
    """
    check_shares(plan.outer, group.size)
    training = TrainingState(plan.initialise(), plan.settings(group), files, group.device)
    if group.leads:
        training.forget_metrics_after_checkpoint()
    watch = ExplosionWatch(plan.sampler.settings.ways)
    while not training.ended:
        metrics = _next_step(group, plan, training, watch)
        if not group.leads:
            continue
        append_json_line(files.metrics, metrics)
        epoch_ends = training.step % plan.outer.iterations == 0
        if training.ended or (epoch_ends and not watch.exploding):
            training.save()
        if observer:
            observer(metrics)
    return training.trained


def _next_step(
    group: Group, plan: TrainingPlan[A], training: TrainingState, watch: ExplosionWatch
) -> dict[str, Any]:
    """One outer step and, at the end of an epoch, validation; gives their metrics."""
    started = time.perf_counter()
    step = training.step
    epoch = step // plan.outer.iterations
    architecture = plan.chooser(step, epoch)
    loss, accuracy = outer_step(group, plan, training, architecture, step)
    watch.see(loss)
    if watch.exploded:
        raise training.diverged(
            f"the loss was above {watch.limit:.3g}, {explosion.GUESSES} times that of guessing, "
            f"in {explosion.STEPS} outer steps in a row; in step {step} it is {loss:.4g}"
        )
    training.step += 1
    epoch_ends = training.step % plan.outer.iterations == 0
    validated = _validate(group, plan, training) if epoch_ends else {}
    return {
        "step": step,
        "epoch": epoch,
        "loss": round(loss, 6),
        "accuracy": round(accuracy, 6),
        "seconds": round(time.perf_counter() - started, 4),
        "architecture": str(architecture),
        **validated,
    }


def _validate(
    group: Group, plan: TrainingPlan[A], training: TrainingState
) -> dict[str, float | None]:
    """How well the epoch's parameters do, if that is asked; they are kept if none did better."""
    validation = plan.validation
    if not (validation and validation.settings.tasks):
        return {}
    parameters = training.parameters.detached()
    loss, accuracy = validate(
        group,
        [plan.space.network(architecture) for architecture in validation.architectures],
        parameters,
        validation.sampler,
        tasks=validation.settings.tasks,
        query_norm=plan.query_norm,
    )
    training.keep_if_best(loss, accuracy, parameters)
    rounded = round(loss, 6) if math.isfinite(loss) else None  # JSON has no other number for it
    return {"val_loss": rounded, "val_accuracy": round(accuracy, 6)}
