"""Deployment in a run folder: adapt the found network to test tasks, and export it."""

from __future__ import annotations

import torch

from metanas.data import DataSet, Episodes
from metanas.deploy import (
    OPSET,
    AdaptedNetwork,
    ModelCard,
    NativeExport,
    export_onnx,
    export_program,
    replace_weights,
)
from metanas.deploy.adaptation_graph import AdaptationGraphs, export_adaptation_graphs
from metanas.files import write_bytes
from metanas.meta import adapted_weights, norms_at, support_statistics
from metanas.runs.folder import RunFolder
from metanas.runs.training import FOUND, load_trained, trained_architecture


def export(
    folder: RunFolder,
    name: str = FOUND,
    *,
    tasks: int = 5,
    batch: int | None = None,
    opset: int | None = None,
) -> list[AdaptedNetwork]:
    """Adapt a trained network to test tasks and export each; the first becomes `model.onnx`.

    Batch-norm is folded with the statistics of the task's support set, so the file classifies one
    image at a time. The host's logits are the functional network's, before folding and exporting.

    Args:
        folder: with a trained network of that name.
        name: `found`, or another training's.
        tasks: number of test tasks.
        batch: images a call; None leaves that free.
        opset: that the files are written in, None for the usual one.

    Raises:
        CheckpointError: no network of that name was trained.
        ExportError: a file does not agree with its network, or cannot be written so.
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
            model = export_onnx(
                module,
                input_shape=data.shape,
                metadata=card,
                batch=batch,
                opset=OPSET if opset is None else opset,
            )
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


def export_adaptation(
    folder: RunFolder, name: str = FOUND, *, opset: int | None = None
) -> AdaptationGraphs:
    """Write the trained network's inner loop as `adapt.onnx` and `classify.onnx`.

    Args:
        folder: with a trained network of that name.
        name: `found`, or another training's.
        opset: that the files are written in, None for the usual one.

    Raises:
        CheckpointError: no network of that name was trained.
        ExportError: a file does not learn what the network learns, or cannot be written so.
    """
    settings = folder.settings
    data = settings.load_data()
    space = settings.make_space(data)
    architecture = trained_architecture(folder, name)
    network = space.network(space.parse(architecture))
    parameters = load_trained(folder, name).cut(network)
    card = _card(folder, data, architecture, settings.sampler(data, "test").batch(0, 1))
    for older in (folder.adaptation_graph, folder.classifier_graph):
        older.unlink(missing_ok=True)  # it may not fit the model.onnx that is there now
    graphs = export_adaptation_graphs(
        network,
        parameters,
        input_shape=data.shape,
        metadata=card,
        opset=OPSET if opset is None else opset,
    )
    write_bytes(folder.adaptation_graph, graphs.adaptation)
    write_bytes(folder.classifier_graph, graphs.classifier)
    return graphs


def export_native(folder: RunFolder, model: bytes, target: str) -> NativeExport:
    """Compile an exported network of the run for a board: `native/TARGET/program`.

    Raises:
        ExportError: the program computes something else than the model.
        NativeError: it cannot be built.
    """
    return export_program(model, target, folder.path / "native" / target)


def _card(folder: RunFolder, data: DataSet, architecture: str, episode: Episodes) -> ModelCard:
    test = data.test
    return ModelCard(
        architecture=architecture,
        dataset=data.name,
        labels=tuple(test.class_name(int(index)) for index in episode.classes[0]),
        mean=data.mean,
        std=data.std,
        inverted=data.inverted,
        seed=folder.settings.seed,
    )
