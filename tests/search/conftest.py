import json
import zlib
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from metanas.data import EpisodeSampler, EpisodeSettings
from metanas.meta import evaluate_loss, initialise
from metanas.profiling import LatencyTable, profile
from metanas.search import Costs, SearchPlan, SearchSettings, evaluation
from metanas.spaces import VGG9Space
from metanas_agent.layers import parse_layer
from metanas_agent.timer import TimerSettings
from metanas_simulators import make_simulator

WAYS = 3
ARRAYS = {
    "wide": {"rows": 12, "columns": 14, "dataflow": "ws", "clock_mhz": 200},
    "narrow": {"rows": 4, "columns": 2, "dataflow": "os", "clock_mhz": 50},
}


CALL_MS = {"wide": 0.02, "narrow": 0.005}
"""What a call costs, the empty one too: the simulator's are free."""

TIMES = ("median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms")


def reckon(table, change):
    """The table with each time replaced by `change(layer, time)`."""
    rows = {}
    for key, row in table.rows.items():
        layer = parse_layer(key)
        times = {name: change(layer, getattr(row, name)) for name in TIMES}
        rows[key] = replace(row, **times)
    return LatencyTable(table.header, rows)


def with_call(table, call_ms):
    return reckon(table, lambda layer, ms: ms + call_ms)


@pytest.fixture(name="reckon")
def _reckon():
    return reckon


@pytest.fixture(scope="session")
def space():
    """111,150 architectures: few enough to look at each of them."""
    return VGG9Space(input_shape=(1, 12, 12), ways=WAYS, global_expansion=False)


@pytest.fixture(scope="session")
def all_genes(space):
    """Every architecture of the space, (architectures, genes)."""
    genes = []
    for index, depth in enumerate(space.depths):
        choices = np.array(list(product(range(3), range(1), range(6))))  # of one layer
        layers = np.stack(np.meshgrid(*[np.arange(len(choices))] * depth), axis=-1)
        rows = choices[layers.reshape(-1, depth)].reshape(-1, 3 * depth)
        block = np.zeros((len(rows), 13), np.int64)
        block[:, 0] = index
        block[:, 1 : 1 + 3 * depth] = rows
        genes.append(block)
    return np.concatenate(genes)


@pytest.fixture(scope="session")
def tables(space, tmp_path_factory):
    """Of two simulated devices, that rank the layers differently."""
    folder = tmp_path_factory.mktemp("tables")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)  # nothing here pulls the plug
        made = {
            name: profile(
                make_simulator(name, {"backend": "systolic"} | array),
                space,
                TimerSettings(),
                folder / f"{name}.tsv",
            )
            for name, array in ARRAYS.items()
        }
    return {name: with_call(table, CALL_MS[name]) for name, table in made.items()}


@pytest.fixture(scope="session")
def costs(space, tables):
    return Costs(space, tables)


@pytest.fixture
def make_plan(space, costs, patterns):
    """A small search of an untrained super-network."""
    networks = [space.network(corner) for corner in space.corners()]
    parameters = initialise(networks, steps=1, rate=0.1, seed=0).detached()

    def make(*constraints, context=None, front=(), warm_start=(), **settings):
        numbers = {
            "population": 6,
            "rounds": 3,
            "tasks": 4,
            "task_rounds": 2,
            "first_tasks": 1,
            "reduction": 2,
            "elite_share": 0.34,
            "finalists": 3,
            "final_tasks": 2,
        }
        return SearchPlan(
            space=space,
            parameters=parameters,
            sampler=EpisodeSampler(patterns, EpisodeSettings(WAYS, 1, 2), seed=0),
            costs=costs,
            constraints=tuple(map(costs.parse, constraints)),
            settings=SearchSettings(**numbers | settings),
            query_norm="transductive",
            context=context or {},
            front=front,
            warm_start=tuple(map(space.parse, warm_start)),
        )

    return make


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "search.jsonl"


@pytest.fixture
def evaluated(monkeypatch):
    """Each adaptation to a task, as (text, the task's pixels); the evaluation is the real one."""
    done = []

    def record(network, parameters, episodes, **how):
        text = text_of(network)
        done.extend((text, images.numpy().tobytes()) for images in episodes.query_images)
        return evaluate_loss(network, parameters, episodes, **how)

    monkeypatch.setattr(evaluation, "evaluate_loss", record)
    return done


def text_of(network):
    convs = network.convs.values()
    return "-".join(f"k{c.kernel}c{c.out_channels}{c.activation}" for c in convs)


@pytest.fixture
def pretend(monkeypatch):
    """Replaces the evaluation by a function of an architecture's text and a task's number.

    It gives the loss; the accuracy is the better the less it is.
    """

    def with_loss(loss_of):
        def evaluate(network, parameters, episodes, **how):
            tasks = [zlib.crc32(images.numpy().tobytes()) for images in episodes.query_images]
            text = text_of(network)
            loss = float(np.mean([loss_of(text, task) for task in tasks]))
            return loss, 1 / (2 + loss) if np.isfinite(loss) else 0.0

        monkeypatch.setattr(evaluation, "evaluate_loss", evaluate)

    return with_loss


@pytest.fixture
def lines_of(journal):
    """Header and rounds of a journal, but for the time they took."""

    def read(path=journal):
        header, *rounds = [json.loads(line) for line in path.read_text().splitlines()]
        for line in rounds:
            assert line.pop("seconds") >= 0
        return header, rounds

    return read
