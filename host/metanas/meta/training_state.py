"""The state of a training: parameters and optimiser, and the files that keep them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metanas.errors import CheckpointError
from metanas.files import read_json_lines, write_json_lines
from metanas.meta.checkpoint import Checkpoint, check_same_settings, load_checkpoint
from metanas.meta.parameters import MetaParameters


@dataclass(frozen=True, slots=True)
class TrainingFiles:
    """Where training keeps itself: a checkpoint, and a line of metrics an outer step."""

    checkpoint: Path
    metrics: Path


class TrainingState:
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
        """Replace the checkpoint by the state after `step` outer steps."""
        moments = {
            f"{name}:{part}": value
            for name, tensor in self.tensors.items()
            for part, value in self.optimiser.state[tensor].items()
        }
        Checkpoint(step, self.settings, self.parameters, moments).save(self.files.checkpoint)

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
