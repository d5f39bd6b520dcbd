"""Meta-training in a run folder: the super-network, or one network from scratch."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import numpy as np

from metanas.data import DataSet
from metanas.errors import CheckpointError, RunFolderError
from metanas.meta import (
    Checkpoint,
    Chooser,
    Fixed,
    MetaParameters,
    Observer,
    OuterSettings,
    TrainingPlan,
    Validation,
    ValidationSettings,
    check_shares,
    load_checkpoint,
    meta_train,
)
from metanas.parallel import Group, Workers
from metanas.runs.folder import RunFolder
from metanas.search import ProgressiveShrinking, ShrinkingSettings
from metanas.spaces import SearchSpace
from metanas_agent.bundles.manifest import check_name
from metanas_agent.errors import InvalidBundleError

SUPERNET = "supernet"
FOUND = "found"
NO_VALIDATION = ValidationSettings()

_ADAPT = "metanas adapt {} --table ... --constraint ..."
_REPRESENTATIVES = 8
_STREAM = 0x7A  # keeps these draws apart from other uses of the seed


def train_supernet(
    workers: Workers,
    folder: RunFolder,
    outer: OuterSettings,
    shrinking: ShrinkingSettings,
    validation: ValidationSettings = NO_VALIDATION,
    *,
    observer: Observer | None = None,
) -> MetaParameters:
    """Meta-train the super-network of the run's space, or go on with it.

    Its validation, if any, is that of its largest network and of a few others, always the same.

    Raises:
        SettingsMismatchError: it was begun with other settings.
        DivergenceError: the loss is not a number, or exploded.
    """
    return workers.run(_train_supernet, folder, outer, shrinking, validation, observer=observer)


def train_network(
    workers: Workers,
    folder: RunFolder,
    name: str,
    architecture: str,
    outer: OuterSettings,
    validation: ValidationSettings = NO_VALIDATION,
    *,
    observer: Observer | None = None,
) -> MetaParameters:
    """Meta-train one architecture from scratch, under a name of its own in the folder.

    Raises:
        ArchitectureError: the run's space does not hold it.
        SettingsMismatchError: a network of that name was begun with other settings.
        DivergenceError: the loss is not a number, or exploded.
    """
    return workers.run(
        _train_network, folder, name, architecture, outer, validation, observer=observer
    )


def check_supernet(
    workers: Workers, folder: RunFolder, outer: OuterSettings, shrinking: ShrinkingSettings
) -> None:
    """Refuse settings by which no super-network can be trained; the folder need not exist.

    Raises:
        InvalidSettingsError: they exclude each other, or there are more workers than tasks.
    """
    plan = _supernet_plan(folder, outer, shrinking, NO_VALIDATION)
    check_shares(plan.outer, workers.group.size)


def check_network(
    workers: Workers, folder: RunFolder, name: str, architecture: str, outer: OuterSettings
) -> None:
    """Refuse what no network of a user's own can be trained by; the folder need not exist.

    Raises:
        ArchitectureError: the run's space does not hold the architecture.
        RunFolderError: the name is no plain file name, or is kept for what metanas makes.
        InvalidSettingsError: the settings exclude each other, or there are more workers than tasks.
    """
    try:
        check_name(name)
    except InvalidBundleError as error:
        raise RunFolderError(f"{name[:80]!r} is no name for a network", hint=error.hint) from error
    if name.lower() in (SUPERNET, FOUND):
        raise RunFolderError(
            f"the name {name!r} is kept for what metanas trains itself",
            hint="give another --name, such as baseline",
        )
    plan = _network_plan(folder, architecture, outer, NO_VALIDATION)
    check_shares(plan.outer, workers.group.size)


def load_trained(folder: RunFolder, name: str) -> MetaParameters:
    """The parameters that an ended training gave: the best epoch's, if there was validation.

    Raises:
        CheckpointError: there is no checkpoint, or it cannot be read.
        RunFolderError: the training has not ended.
    """
    path = folder.training(name).checkpoint
    checkpoint = _checkpoint(folder, name)
    if not checkpoint.ended:
        steps = checkpoint.settings["epochs"] * checkpoint.settings["iterations"]
        raise RunFolderError(
            f"{path} is at step {checkpoint.step} of {steps}",
            hint="run the command that trains it again; it goes on from there",
        )
    return checkpoint.trained


def outer_settings(checkpoint_settings: dict[str, Any]) -> OuterSettings:
    """The schedule that a checkpoint was made by; what it does not know of has its default."""
    known = {field.name for field in fields(OuterSettings)}
    return OuterSettings(**{n: value for n, value in checkpoint_settings.items() if n in known})


def trained_architecture(folder: RunFolder, name: str) -> str:
    """The text of the architecture that was trained under a name.

    Raises:
        CheckpointError: there is no checkpoint, or it cannot be read.
        RunFolderError: it is the super-network's.
    """
    settings = _checkpoint(folder, name).settings
    if "architecture" not in settings:
        raise RunFolderError(
            f"{name} in {folder.path} is the super-network, which holds many networks",
            hint=f"adapt it first, then take found: {_ADAPT.format(folder.path)}",
        )
    return str(settings["architecture"])


def _checkpoint(folder: RunFolder, name: str) -> Checkpoint:
    path = folder.training(name).checkpoint
    if path.is_file():
        return load_checkpoint(path)
    trained = sorted(file.stem for file in folder.path.glob("*.safetensors"))
    command = f"metanas train {folder.path}"
    if name == FOUND:
        command = _ADAPT.format(folder.path)
    elif name != SUPERNET:
        command += f" --architecture ... --name {name}"
    raise CheckpointError(
        f"{folder.path} has no trained {name!r}; it has: {', '.join(trained) or 'none'}",
        hint=f"make it first: {command}",
    )


def _train_supernet(
    group: Group,
    folder: RunFolder,
    outer: OuterSettings,
    shrinking: ShrinkingSettings,
    validation: ValidationSettings,
    *,
    observer: Observer | None = None,
) -> MetaParameters:
    plan = _supernet_plan(folder, outer, shrinking, validation)
    return meta_train(group, plan, folder.training(SUPERNET), observer=observer)


def _train_network(
    group: Group,
    folder: RunFolder,
    name: str,
    architecture: str,
    outer: OuterSettings,
    validation: ValidationSettings,
    *,
    observer: Observer | None = None,
) -> MetaParameters:
    plan = _network_plan(folder, architecture, outer, validation)
    return meta_train(group, plan, folder.training(name), observer=observer)


def _supernet_plan(
    folder: RunFolder,
    outer: OuterSettings,
    shrinking: ShrinkingSettings,
    validation: ValidationSettings,
) -> TrainingPlan[Any]:
    data = folder.settings.load_data()
    space = folder.settings.make_space(data)
    chooser = ProgressiveShrinking(space, shrinking, outer.seed)
    judged = representatives(space, outer.seed)
    return _plan(folder, data, chooser, space.corners(), outer, judged, validation)


def _network_plan(
    folder: RunFolder,
    architecture: str,
    outer: OuterSettings,
    validation: ValidationSettings,
) -> TrainingPlan[Any]:
    data = folder.settings.load_data()
    parsed = folder.settings.make_space(data).parse(architecture)
    return _plan(folder, data, Fixed(parsed), (parsed,), outer, (parsed,), validation)


def _plan(
    folder: RunFolder,
    data: DataSet,
    chooser: Chooser[Any],
    corners: tuple[Any, ...],
    outer: OuterSettings,
    judged: tuple[Any, ...],
    validation: ValidationSettings,
) -> TrainingPlan[Any]:
    return TrainingPlan(
        space=folder.settings.make_space(data),
        corners=corners,
        chooser=chooser,
        sampler=folder.settings.sampler(data, "train"),
        outer=outer,
        query_norm=folder.settings.query_norm,
        context=context(folder, data),
        validation=Validation(judged, folder.settings.sampler(data, "val"), validation),
    )


def representatives(space: SearchSpace[Any], seed: int) -> tuple[Any, ...]:
    """Architectures that a super-network is validated by: its largest one, and random ones."""
    rng = np.random.default_rng([seed, _STREAM])
    return (space.largest(), *map(space.from_genes, space.sample(_REPRESENTATIVES - 1, rng)))


def context(folder: RunFolder, data: DataSet) -> dict[str, Any]:
    """What a checkpoint or a journal of the run must have been made by."""
    return asdict(folder.settings) | {"data_fingerprint": data.fingerprint}
