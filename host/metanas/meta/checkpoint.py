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
class Best:
    """The epoch that did best on the validation tasks.

    Args:
        step: outer steps done at its end.
        loss: mean query loss over the validation tasks.
        accuracy: mean share of query images classified rightly.
        parameters: as they were at its end.
    """

    step: int
    loss: float
    accuracy: float
    parameters: MetaParameters


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Training after `step` outer steps.

    Args:
        step: outer steps done.
        settings: flat values that the training was asked with.
        parameters: what was learned.
        optimiser: Adam's moments, by name.
        best: of the epochs so far; None without validation.
    """

    step: int
    settings: dict[str, Any]
    parameters: MetaParameters
    optimiser: dict[str, Tensor]
    best: Best | None = None

    @property
    def ended(self) -> bool:
        """Whether training does no further step."""
        return has_ended(self.settings, self.step, self.best)

    @property
    def trained(self) -> MetaParameters:
        """What training gives: the parameters of the best epoch, or else the last ones."""
        return self.best.parameters if self.best else self.parameters

    def save(self, path: Path) -> None:
        """Replace the file at `path` as a whole."""
        metadata = {
            "format": _FORMAT,
            "step": str(self.step),
            "settings": json.dumps(self.settings, sort_keys=True),
            "provenance": json.dumps(provenance()),
        }
        tensors = dict(self.parameters.named())
        tensors |= {f"optimiser/{name}": tensor for name, tensor in self.optimiser.items()}
        if best := self.best:
            found = {"step": best.step, "loss": best.loss, "accuracy": best.accuracy}
            metadata["best"] = json.dumps(found)
            tensors |= {f"best/{name}": tensor for name, tensor in best.parameters.named()}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        write_bytes(path, serialise(tensors, metadata))  # unlike save_file, a full disk is OSError


def has_ended(settings: dict[str, Any], step: int, best: Best | None) -> bool:
    """Whether training by these settings does no step after `step` of them.

    It ends with its last step, or with the epoch that is `patience` epochs behind the best one.
    """
    iterations: int = settings["iterations"]
    steps: int = settings["epochs"] * iterations
    patience: int = settings.get("patience", 0) * iterations
    waited = step - (best.step if best else 0)
    return step >= steps or 0 < patience <= waited


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
        best = _read_best(metadata, tensors)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"cannot read checkpoint {path}: {error}", hint="delete it to train anew"
        ) from error
    return Checkpoint(
        step,
        settings,
        MetaParameters.from_named({n: t for n, t in tensors.items() if _is_learned(n)}),
        _under("optimiser/", tensors),
        best,
    )


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


def _read_best(metadata: dict[str, str], tensors: dict[str, Tensor]) -> Best | None:
    if "best" not in metadata:
        return None
    found = json.loads(metadata["best"])
    parameters = MetaParameters.from_named(_under("best/", tensors))
    return Best(found["step"], found["loss"], found["accuracy"], parameters)


def _is_learned(name: str) -> bool:
    return not name.startswith(("optimiser/", "best/"))


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
