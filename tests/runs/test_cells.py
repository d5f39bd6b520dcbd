"""A network of cells goes the way that every network goes, but has no adaptation graph yet."""

import onnx
import pytest
from typer.testing import CliRunner

from metanas.cli.app import app
from metanas.errors import NoAdaptationGraphError
from metanas.meta import OuterSettings
from metanas.parallel import Workers
from metanas.profiling import network_model
from metanas.runs import FOUND, RunFolder, RunSettings, export_adaptation, train_network
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
    """What `metanas export` prints; an older graph lies in the folder."""
    folder.adaptation_graph.write_bytes(b"of another network")
    done = CliRunner().invoke(app, ["export", str(folder.path)])
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def test_export_says_that_there_is_no_adaptation_graph_and_goes_on(folder, exported):
    (line,) = (line for line in exported if "adaptation graph" in line)
    assert line.startswith("no adaptation graph is written of networks of the space cells")
    assert not folder.adaptation_graph.exists()
    with pytest.raises(NoAdaptationGraphError):
        export_adaptation(folder)


def test_the_file_has_the_operators_that_are_timed(folder, exported):
    """Of a network whose rows are summed, and of one that is timed without training it."""
    space = CellsSpace(input_shape=(1, 28, 28), ways=2)
    timed = network_model(space, space.parse(ARCHITECTURE), seed=0)
    written, drawn = (
        [node.op_type for node in model.graph.node]
        for model in (onnx.load(folder.model), onnx.load_model_from_string(timed))
    )
    assert written[:-2] == drawn[:-2]
    assert drawn[-2:] == ["Flatten", "Gemm"]
    assert written[-1] == "Gemm"
