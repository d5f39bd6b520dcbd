"""A network of cells goes the way that every network goes."""

import onnx
import pytest
from onnx import numpy_helper
from typer.testing import CliRunner

from metanas.cli.app import app
from metanas.deploy.adaptation_graph.agreement import difference, run_adaptation
from metanas.meta import OuterSettings
from metanas.parallel import Workers
from metanas.profiling import network_model
from metanas.runs import FOUND, RunFolder, RunSettings, train_network
from metanas.spaces import CellsSpace

pytestmark = pytest.mark.usefixtures("one_thread")

CELL = "skip@0+conv3x3@1,skip@0+dilconv3x3@2,maxpool3x3@1+skip@3"
ARCHITECTURE = f"{CELL}:{CELL}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    settings = RunSettings(ways=2, queries=2, train_queries=2, space="cells")
    folder = RunFolder.create(tmp_path_factory.mktemp("runs") / "cells", settings)
    outer = OuterSettings(epochs=1, iterations=1, tasks=1, inner_steps=1)
    with pytest.MonkeyPatch.context() as patch, Workers(1) as workers:
        patch.setattr("os.fsync", lambda _: None)
        train_network(workers, folder, FOUND, ARCHITECTURE, outer)
    return folder


@pytest.fixture(scope="module")
def exported(folder):
    """What `metanas export` has written."""
    done = CliRunner().invoke(app, ["export", str(folder.path)])
    assert done.exit_code == 0, done.output
    return folder


def test_the_first_test_task_is_learned_again(exported, glyphs):
    stored = onnx.load(exported.model).graph.initializer
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in stored}
    first, second = (learned(exported, glyphs, task) for task in (0, 1))
    assert set(first) <= set(tensors)
    assert difference(first, {name: tensors[name] for name in first}) < 0.01
    assert difference(second, {name: tensors[name] for name in second}) > 0.1


def learned(folder, data, task):
    """By the graph, from the support set of a test task."""
    episode = folder.settings.sampler(data, "test").batch(task, 1)
    images, labels = episode.support_images[0].numpy(), episode.support_labels[0].numpy()
    return run_adaptation(folder.adaptation_graph.read_bytes(), images, labels)


def test_the_file_has_the_operators_that_are_timed(exported):
    """Of a network whose rows are summed, and of one that is timed without training it."""
    space = CellsSpace(input_shape=(1, 28, 28), ways=2)
    timed = network_model(space, space.parse(ARCHITECTURE), seed=0)
    written, drawn = (
        [node.op_type for node in model.graph.node]
        for model in (onnx.load(exported.model), onnx.load_model_from_string(timed))
    )
    assert written[:-2] == drawn[:-2]
    assert drawn[-2:] == ["Flatten", "Gemm"]
    assert written[-1] == "Gemm"
