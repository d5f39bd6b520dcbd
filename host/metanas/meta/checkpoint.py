"""Checkpoints: meta-parameters and the optimiser's state in one safetensors file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from metanas.errors import CheckpointError, SettingsMismatchError
from metanas.files import write_bytes
from metanas.meta.parameters import MetaParameters
from metanas.provenance import provenance

_FORMAT = "metanas-checkpoint-1"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Training after `step` outer steps.

    Args:
        step: outer steps done.
        settings: flat values that the training was asked with.
        parameters: what was learned.
        optimiser: Adam's moments, by name.
    """

    step: int
    settings: dict[str, Any]
    parameters: MetaParameters
    optimiser: dict[str, Tensor]

    def save(self, path: Path) -> None:
        """Replace the file at `path` as a whole."""
        tensors = {name: tensor.detach().contiguous() for name, tensor in self.parameters.named()}
        tensors |= {f"optimiser/{name}": tensor for name, tensor in self.optimiser.items()}
        metadata = {
            "format": _FORMAT,
            "step": str(self.step),
            "settings": json.dumps(self.settings, sort_keys=True),
            "provenance": json.dumps(provenance()),
        }
        write_bytes(path, serialise(tensors, metadata))  # unlike save_file, a full disk is OSError


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: the file is absent, truncated or something else.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}", hint="train first: metanas train")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.get("format") != _FORMAT:
            raise CheckpointError(f"{path} is no metanas checkpoint")
        step, settings = int(metadata["step"]), json.loads(metadata["settings"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"cannot read checkpoint {path}: {error}", hint="delete it to train anew"
        ) from error
    optimiser = {
        name.removeprefix("optimiser/"): tensor
        for name, tensor in tensors.items()
        if name.startswith("optimiser/")
    }
    learned = {n: tensor for n, tensor in tensors.items() if not n.startswith("optimiser/")}
    return Checkpoint(step, settings, MetaParameters.from_named(learned), optimiser)


def check_same_settings(path: Path, found: dict[str, Any], asked: dict[str, Any]) -> None:
    """Refuse to go on with something that was made by other settings.

    Raises:
        SettingsMismatchError: naming each setting that differs.
    """
    differing = sorted(
        name for name in found.keys() | asked.keys() if found.get(name) != asked.get(name)
    )
    if differing:
        changes = ", ".join(f"{n} was {found.get(n)!r}, not {asked.get(n)!r}" for n in differing)
        raise SettingsMismatchError(
            f"{path} was made by other settings: {changes}",
            hint="repeat those settings, or name another run folder",
        )
