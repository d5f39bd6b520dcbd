"""A run's inner loop as files: what a board learns from them is what the run exported."""

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from typer.testing import CliRunner

from metanas.cli.app import app
from metanas.deploy.adaptation_graph.agreement import difference, run_adaptation
from metanas.errors import CheckpointError
from metanas.meta import OuterSettings
from metanas.parallel import Workers
from metanas.runs import FOUND, export_adaptation, train_network

pytestmark = pytest.mark.usefixtures("one_thread")


def test_nothing_was_trained(folder):
    with pytest.raises(CheckpointError, match="metanas"):
        export_adaptation(folder)
    assert not folder.adaptation_graph.exists()


def test_the_first_test_task_is_learned_again(folder, glyphs):
    outer = OuterSettings(epochs=2, iterations=2, tasks=2, inner_steps=2)
    with Workers(1) as workers:
        train_network(workers, folder, FOUND, "k3c64relu-k5c64elu", outer)
    done = CliRunner().invoke(app, ["export", str(folder.path), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["adapt"]["bytes"] == folder.adaptation_graph.stat().st_size
    stored = onnx.load(folder.model).graph.initializer
    exported = {tensor.name: numpy_helper.to_array(tensor) for tensor in stored}
    first, second = (learned(folder, glyphs, task) for task in (0, 1))
    exported = {name: exported[name] for name in first}
    # Of a glyph's blank paper all pixels are level, and rounding chooses where a gradient goes.
    assert difference(first, exported) < 0.05 < difference(second, exported)
    assert folder.classifier_graph.exists()
    for path in folder.adaptation_graph, folder.classifier_graph:
        metadata = {p.key: p.value for p in onnx.load(path).metadata_props}
        assert metadata["architecture"] == "k3c64relu-k5c64elu"
        assert np.allclose(json.loads(metadata["mean"]), glyphs.mean)


def learned(folder, data, task):
    """By the graph, from the support set of a test task."""
    episode = folder.settings.sampler(data, "test").batch(task, 1)
    images, labels = episode.support_images[0].numpy(), episode.support_labels[0].numpy()
    return run_adaptation(folder.adaptation_graph.read_bytes(), images, labels)
