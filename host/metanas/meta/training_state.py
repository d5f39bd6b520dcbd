"""The state of a training: parameters and optimiser, and the files that keep them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metanas.errors import CheckpointError, DivergenceError
from metanas.files import read_json_lines, write_json_lines
from metanas.meta.checkpoint import (
    Best,
    Checkpoint,
    check_same_settings,
    has_ended,
    load_checkpoint,
)
from metanas.meta.parameters import MetaParameters
from metanas.meta.schedule import OuterSettings

_DEFAULTS = asdict(OuterSettings()) | {"validation_tasks": 0, "patience": 0, "accelerator": "cpu"}
"""What a checkpoint from before a setting existed was made by."""


@dataclass(frozen=True, slots=True)
class TrainingFiles:
    """Where training keeps itself: a checkpoint, and a line of metrics an outer step."""

    checkpoint: Path
    metrics: Path


class TrainingState:
    """Parameters, optimiser and best epoch, made fresh or read from the checkpoint.

    Args:
        fresh: parameters to begin with if there is no checkpoint; those that require a gradient
            are what the optimiser changes.
        settings: flat values that a checkpoint must have been made by.
        files: checkpoint and metrics.
        device: where to train.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        SettingsMismatchError: it was made by other settings.
    """

    def __init__(
        self,
        fresh: MetaParameters,
        settings: dict[str, Any],
        files: TrainingFiles,
        device: torch.device,
    ) -> None:
        self.settings = settings
        self.files = files
        self.step = 0
        self.parameters = fresh.to(device)
        self.best: Best | None = None
        self._saved: int | None = None
        moments: dict[str, Tensor] = {}
        if files.checkpoint.exists():
            checkpoint = load_checkpoint(files.checkpoint)
            check_same_settings(files.checkpoint, _DEFAULTS | checkpoint.settings, settings)
            self.step = self._saved = checkpoint.step
            self.parameters = checkpoint.parameters.to(device)
            self.best, moments = checkpoint.best, checkpoint.optimiser
        learned = {name for name, tensor in fresh.named() if tensor.requires_grad}
        self.tensors = {n: tensor for n, tensor in self.parameters.named() if n in learned}
        for tensor in self.tensors.values():
            tensor.requires_grad_()
        self.optimiser = torch.optim.Adam(self.tensors.values())
        self._restore(moments)

    def _restore(self, moments: dict[str, Tensor]) -> None:
        for full_name, value in moments.items():
            name, _, part = full_name.rpartition(":")
            tensor = self.tensors[name]
            # Adam counts its steps on the CPU wherever it computes.
            self.optimiser.state[tensor][part] = (
                value if part == "step" else value.to(tensor.device)
            )

    @property
    def ended(self) -> bool:
        """Whether there is no step left, or none is worth it."""
        return has_ended(self.settings, self.step, self.best)

    @property
    def trained(self) -> MetaParameters:
        """What training gives: the parameters of the best epoch, or else the last ones."""
        return (self.best.parameters if self.best else self.parameters).detached()

    def keep_if_best(self, loss: float, accuracy: float, parameters: MetaParameters) -> None:
        """Remember the parameters if none did better on the validation tasks.

        Accuracy decides, as in MAML++, and of equal ones the loss. A loss that is not finite is
        that of tasks whose adaptation diverged.
        """
        least = (self.best.accuracy, -self.best.loss) if self.best else (-1.0, 0.0)
        if math.isfinite(loss) and (accuracy, -loss) > least:
            self.best = Best(self.step, loss, accuracy, parameters)

    def save(self) -> None:
        """Replace the checkpoint by this state."""
        moments = {
            f"{name}:{part}": value
            for name, tensor in self.tensors.items()
            for part, value in self.optimiser.state[tensor].items()
        }
        checkpoint = Checkpoint(self.step, self.settings, self.parameters, moments, self.best)
        checkpoint.save(self.files.checkpoint)
        self._saved = self.step

    def diverged(self, what: str) -> DivergenceError:
        """The error that says so, and what is left."""
        path, saved = self.files.checkpoint, self._saved
        left = (
            "it had not come to a checkpoint"
            if saved is None
            else f"{path} holds the last good state, that after {saved} outer steps"
        )
        hint = "train anew with lower learning rates, in another run folder"
        return DivergenceError(what, hint=f"{hint}; {left}")

    def forget_metrics_after_checkpoint(self) -> None:
        """Cut off the lines of steps that will be done again.

        Raises:
            CheckpointError: the metrics cannot be read.
        """
        try:
            lines = read_json_lines(self.files.metrics)
            kept = [line for line in lines if line["step"] < self.step]
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"cannot read metrics {self.files.metrics}: {error}", hint="delete that file"
            ) from error
        if len(kept) < len(lines):
            write_json_lines(self.files.metrics, kept)
