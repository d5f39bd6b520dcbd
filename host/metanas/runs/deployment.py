"""Deployment in a run folder: adapt the found network to test tasks, export, verify on a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from metanas.data import DataSet, Episodes
from metanas.deploy import (
    AdaptedNetwork,
    ModelCard,
    Network,
    Prediction,
    Verification,
    export_onnx,
    replace_weights,
    verify,
    write_verification,
)
from metanas.devices import Device
from metanas.files import write_bytes
from metanas.meta import adapted_weights, norms_at, support_statistics
from metanas.profiling import LatencyTable, slowdown
from metanas.profiling.table import timer_of
from metanas.runs.folder import RunFolder
from metanas.runs.training import load_trained, trained_architecture
from metanas.spaces import SearchSpace
from metanas_agent.timer import TimerSettings

FOUND = "found"


def export(folder: RunFolder, name: str = FOUND, *, tasks: int = 5) -> list[AdaptedNetwork]:
    """Adapt a trained network to test tasks and export each; the first becomes `model.onnx`.

    Batch-norm is folded with the statistics of the task's support set, so the file classifies one
    image at a time. The host's logits are the functional network's, before folding and exporting.

    Args:
        folder: with a trained network of that name.
        name: `found`, or another training's.
        tasks: number of test tasks.

    Raises:
        CheckpointError: no network of that name was trained.
        ExportError: a file does not agree with its network.
    """
    settings = folder.settings
    data = settings.load_data()
    space = settings.make_space(data)
    architecture = trained_architecture(folder, name)
    network = space.network(space.parse(architecture))
    parameters = load_trained(folder, name).cut(network)
    norms = norms_at(parameters, parameters.steps - 1)
    sampler = settings.sampler(data, "test")
    adapted: list[AdaptedNetwork] = []
    for task in range(tasks):
        episode = sampler.batch(task, 1)
        weights = adapted_weights(
            network, parameters, episode.support_images, episode.support_labels
        )
        with torch.no_grad():
            statistics = support_statistics(network, weights, norms, episode.support_images)
            logits = network(weights, norms, episode.query_images, statistics=statistics)
            module = network.folded(
                {key: tensor[0] for key, tensor in weights.items()},
                norms,
                {key: type(m)(m.mean[0], m.variance[0]) for key, m in statistics.items()},
            )
        card = _card(folder, data, architecture, episode)
        if adapted:
            model = replace_weights(adapted[0].model, module, metadata=card)
        else:
            model = export_onnx(module, input_shape=data.shape, metadata=card)
        adapted.append(
            AdaptedNetwork(
                model=model,
                images=episode.query_images[0].numpy(),
                labels=episode.query_labels[0].numpy(),
                host_logits=logits[0].numpy(),
            )
        )
    write_bytes(folder.model, adapted[0].model)
    return adapted


def predict(space: SearchSpace[Any], architecture: str, table: LatencyTable) -> Prediction:
    """The latency that a table promises for an architecture.

    Raises:
        MissingRowsError: the table lacks one of its layers.
    """
    genes = space.encode([space.parse(architecture)])
    low_ms, high_ms = table.interval_ms(space, genes)
    return Prediction(
        latency_ms=float(table.latency_ms(space, genes)[0]),
        low_ms=float(low_ms[0]),
        high_ms=float(high_ms[0]),
        source=str(table.shared("source")),
    )


def verify_on(
    device: Device,
    folder: RunFolder,
    table: LatencyTable,
    timer: TimerSettings,
    *,
    name: str = FOUND,
    tasks: int = 5,
    observer: Callable[[int], None] = lambda _: None,
) -> Verification:
    """Export, run on the device, compare, and write `verify.json`.

    The table's sentinel is timed between the runs, so that a device that is slower than when its
    table was made is not mistaken for a wrong table.

    Args:
        device: where to run it.
        folder: with a trained network of that name.
        table: of the device.
        timer: how long and how surely to time; all else is as the table's rows were timed.
        name: `found`, or another training's.
        tasks: number of test tasks.
        observer: called with the number of tasks done so far.

    Raises:
        ExportError: a file does not agree with its network.
        DeviceError: the device cannot be reached or cannot run models.
        MissingRowsError: the table lacks one of the architecture's layers.
    """
    networks = export(folder, name, tasks=tasks)
    space = folder.settings.make_space(folder.settings.load_data())
    architecture = trained_architecture(folder, name)
    settings = timer_of(table, timer)
    verification = verify(
        device,
        networks,
        network=Network(name=name, architecture=architecture),
        predicted=predict(space, architecture, table),
        settings=settings,
        pace=lambda: slowdown(device, table, settings),
        on_verified=observer,
    )
    write_verification(folder.verification, verification)
    return verification


def _card(folder: RunFolder, data: DataSet, architecture: str, episode: Episodes) -> ModelCard:
    test = data.test
    return ModelCard(
        architecture=architecture,
        dataset=data.name,
        labels=tuple(test.class_name(int(index)) for index in episode.classes[0]),
        mean=data.mean,
        std=data.std,
        seed=folder.settings.seed,
    )
