"""`learn`: new classes from a folder of images; what was learned is one classifier file."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from os.path import realpath
from pathlib import Path
from time import perf_counter

import numpy as np

from metanas_agent import __version__
from metanas_agent.errors import InvalidModelError, InvalidSettingsError
from metanas_agent.files import write_bytes
from metanas_agent.learning.adaptation import AdaptationGraph
from metanas_agent.learning.classifier import Classifier
from metanas_agent.learning.onnx_file import with_weights
from metanas_agent.learning.pictures import read_images
from metanas_agent.learning.session import load_model
from metanas_agent.learning.support_set import SupportSet, find_images
from metanas_agent.printing import printable

NETWORK = "model.onnx"
"""The network that the learned weights belong to; it lies beside the adaptation graph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What learning gave.

    Args:
        classifier: the file that was written.
        labels: the classes, in the order of the logits.
        images: how many images were learned from.
        right: how many of these the classifier puts into their class.
        duration_ms: of the adaptation, without reading images and models.
    """

    classifier: Path
    labels: tuple[str, ...]
    images: int
    right: int
    duration_ms: float


def learn(support: Path, graph: Path, classifier: Path) -> Learned:
    """Adapt to the classes of a folder; the classifier is written as a whole or not at all.

    Args:
        support: folder with a folder of images a class.
        graph: `adapt.onnx`, with the `model.onnx` of the same export beside it.
        classifier: file to write. It is a model of its own: it needs neither of the two.

    Raises:
        InvalidSupportSetError: the folder is not as it must be.
        InvalidImageError: an image cannot be read.
        InvalidModelError: a model cannot be used, or the two are of different exports.
        InvalidSettingsError: the classifier would replace one of the two.
    """
    network = graph.parent / NETWORK
    if realpath(classifier) in (realpath(graph), realpath(network)):
        raise InvalidSettingsError(
            f"{classifier} would be replaced, and learning needs it", hint="choose another name"
        )
    adaptation = AdaptationGraph(graph)
    support_set = find_images(support, ways=adaptation.ways)
    paths = [path for paths in support_set.images.values() for path in paths]
    classes = np.repeat(np.arange(adaptation.ways), list(map(len, support_set.images.values())))
    images = read_images(paths, adaptation.feeding)
    started = perf_counter()
    weights = adaptation.adapt(images, classes)
    duration_ms = (perf_counter() - started) * 1e3

    metadata = dict(load_model(network, name=str(network)).metadata)
    metadata |= _metadata(support, support_set, graph)
    model = with_weights(network.read_bytes(), weights, metadata, where=str(network))
    learned = Classifier(model, name=f"what was learned from {support}")
    if learned.feeding != adaptation.feeding:
        raise InvalidModelError(
            f"{network} takes other images than {graph}", hint="give the two of one export"
        )
    accuracy = learned.accuracy(images, classes.tolist())
    write_bytes(classifier, model)
    return Learned(
        classifier=classifier,
        labels=support_set.labels,
        images=len(images),
        right=round(accuracy * len(images)),
        duration_ms=duration_ms,
    )


def _metadata(support: Path, support_set: SupportSet, graph: Path) -> dict[str, str]:
    """What is different in the classifier's file."""
    provenance = {
        "command": "metanas-agent learn",
        "version": __version__,
        "machine": platform.machine(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "graph_sha256": hashlib.sha256(graph.read_bytes()).hexdigest(),
        "images": {label: len(paths) for label, paths in support_set.images.items()},
    }
    return {
        "dataset": printable(support.resolve().name),
        "ways": str(len(support_set.labels)),
        "labels": json.dumps(support_set.labels, ensure_ascii=False),
        "provenance": json.dumps(provenance, ensure_ascii=False),
    }
