"""A board learns from pictures what the exported graphs, and torch, learn from the same arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from metanas.data import DataSet, Episodes, EpisodeSampler, EpisodeSettings
from metanas.deploy import ModelCard, compare, export_onnx
from metanas.deploy.adaptation_graph import export_adaptation_graphs
from metanas.meta import MetaParameters, adapted_weights, initialise, norms_at, support_statistics
from metanas.spaces import make_space
from metanas.spaces.network import Network
from metanas_agent.learning.learn import learn
from support.random_networks import random_network

WAYS, SHOTS, STEPS = 5, 2, 3
ARCHITECTURE = "k3c16relu-k5c16relu6-k1c32selu-k3c16leakyrelu"
CELL = "sepconv3x3@0+conv3x3@1,maxpool3x3@0+dilconv3x3@2,avgpool3x3@1+skip@3"


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("name", "architecture", "options"),
    [
        ("vgg9", ARCHITECTURE, {"downsampling": "pooled"}),
        ("vgg9", ARCHITECTURE, {"downsampling": "strided"}),
        ("cells", f"{CELL}:{CELL}", {"channels": 8, "cells": 2}),
    ],
)
def test_as_torch_learns(
    tmp_path: Path, glyphs: DataSet, name: str, architecture: str, options: dict[str, Any]
) -> None:
    space = make_space(name, input_shape=glyphs.shape, ways=WAYS, **options)
    network = space.network(space.parse(architecture))
    parameters = initialise([network], steps=STEPS, rate=0.1, seed=0)
    settings = EpisodeSettings(ways=WAYS, shots=SHOTS, queries=3)
    episode = EpisodeSampler(glyphs.test, settings, 0).batch(0, 1)
    expected = learned_by_torch(network, parameters, episode)

    card = ModelCard(
        architecture=architecture,
        dataset=glyphs.name,
        labels=tuple("ABCDE"),
        mean=glyphs.mean,
        std=glyphs.std,
    )
    other = random_network(space, architecture)
    model = export_onnx(other, input_shape=glyphs.shape, metadata=card)
    (tmp_path / "model.onnx").write_bytes(model)
    graphs = export_adaptation_graphs(network, parameters, input_shape=glyphs.shape, metadata=card)
    (tmp_path / "adapt.onnx").write_bytes(graphs.adaptation)
    for number, image in enumerate(episode.support_images[0].numpy()):
        write_picture(
            tmp_path / "support" / f"class{number // SHOTS}" / f"{number}.png", image, card
        )

    learned = learn(tmp_path / "support", tmp_path / "adapt.onnx", tmp_path / "classifier.onnx")
    assert learned.labels == tuple(f"class{way}" for way in range(WAYS))
    queries = {"query_images": episode.query_images[0].numpy()}
    one_hot = np.eye(WAYS, dtype=np.float32)[episode.support_labels[0].numpy()]
    support = {"support_images": episode.support_images[0].numpy(), "support_labels": one_hot}
    at_once = run(graphs.classifier, {**support, **queries})
    given = run((tmp_path / "classifier.onnx").read_bytes(), {"images": queries["query_images"]})
    assert compare([(at_once, given)]).within
    assert compare([(expected, given)]).within
    assert len(np.unique(given.argmax(1))) > 1


def learned_by_torch(
    network: Network, parameters: MetaParameters, episode: Episodes
) -> NDArray[np.float32]:
    """Logits of the query images, in double precision.

    Near-ties of max-pooling on an even background make single precision differ from it by up to a
    hundredth of the logits' range, which says nothing of the graph.
    """
    exact = MetaParameters.from_named(
        {
            name: tensor.detach().double().requires_grad_(tensor.requires_grad)
            for name, tensor in parameters.named()
        }
    )
    images = episode.support_images.double()
    weights = adapted_weights(network, exact, images, episode.support_labels)
    norms = norms_at(exact, STEPS - 1)
    with torch.no_grad():
        statistics = support_statistics(network, weights, norms, images)
        logits = network(weights, norms, episode.query_images.double(), statistics=statistics)
    return logits[0].float().numpy()


def run(model: bytes, inputs: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def write_picture(path: Path, image: NDArray[np.float32], card: ModelCard) -> None:
    """A normalised image, (1, height, width), as the picture that it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (image[0] * card.std[0] + card.mean[0]) * 255
    Image.fromarray(pixels.round().astype(np.uint8)).save(path)
