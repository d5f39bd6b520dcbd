"""The outer loop: meta-training over many tasks, on several workers, resumable."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from metanas.errors import InvalidSettingsError
from metanas.files import append_json_line
from metanas.meta.outer_step import outer_step
from metanas.meta.parameters import MetaParameters
from metanas.meta.plan import TrainingPlan
from metanas.meta.training_state import TrainingFiles, TrainingState
from metanas.parallel import Group
from metanas.spaces import Architecture

A = TypeVar("A", bound=Architecture)

Observer = Callable[[dict[str, Any]], None]
"""Called with each outer step's metrics."""


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
    training = TrainingState(plan.initialise(), plan.settings(group.size), files)
    if group.leads:
        training.forget_metrics_after_checkpoint()
    iterations = plan.outer.iterations
    for step in range(training.step, plan.outer.steps):
        started = time.perf_counter()
        architecture = plan.chooser(step, step // iterations)
        loss, accuracy = outer_step(group, plan, training, architecture, step)
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
