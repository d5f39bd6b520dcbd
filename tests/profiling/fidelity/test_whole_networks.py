import dataclasses
import json
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metanas.devices import LocalAgent
from metanas.errors import (
    DeviceError,
    MeasurementFailedError,
    TableBusyError,
    TableMismatchError,
    UnsupportedError,
)
from metanas.profiling import measure_networks, network_model
from metanas.profiling.fidelity.network_run import WINDOW
from metanas.profiling.sweep.plan import AGAIN_SHARE
from metanas.profiling.timings.drift import MOST_AGAIN
from metanas.spaces import make_space
from metanas_agent.timer import TimerSettings
from support.sampled_networks import export_architecture, relative_difference, run_onnx

SETTINGS = TimerSettings()
SAID_OTHERWISE = {"Reshape": "Flatten"}  # as the exporter calls it; neither computes anything
WEIGHTED = ("Conv", "Gemm")
CASES = [
    ("vgg9", (3, 21, 19), "pooled"),
    ("vgg9", (1, 28, 28), "strided"),
    ("resnet12", (3, 21, 19), "pooled"),
    ("resnet12", (1, 14, 14), "strided"),
]


def operators(model):
    return [SAID_OTHERWISE.get(node.op_type, node.op_type) for node in model.graph.node]


def weights_by_node(model):
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    weighted = (node for node in model.graph.node if node.op_type in WEIGHTED)
    return [[stored[name] for name in node.input[1:]] for node in weighted]


@pytest.mark.parametrize(("name", "shape", "downsampling"), CASES[1:])
def test_computes_what_the_exported_file_computes_in_the_same_order(name, shape, downsampling):
    """Given the exported file's weights, that is."""
    space = make_space(name, input_shape=shape, ways=5, downsampling=downsampling)
    genes = space.sample(20, np.random.default_rng(2))
    architecture = max(map(space.from_genes, genes), key=lambda a: len(a.layers))
    exported = onnx.load_model_from_string(export_architecture(space, str(architecture)))
    model = onnx.load_model_from_string(network_model(space, architecture, seed=0))
    onnx.checker.check_model(model, full_check=True)
    assert operators(model) == operators(exported)
    pairs = zip(weights_by_node(model), weights_by_node(exported), strict=True)
    for ours, theirs in pairs:
        for tensor, trained in zip(ours, theirs, strict=True):
            assert tensor.dims == trained.dims
            tensor.raw_data = onnx.numpy_helper.to_array(trained).tobytes()
    image = np.random.default_rng(1).standard_normal(shape, np.float32)
    expected = run_onnx(exported.SerializeToString(), image)
    assert relative_difference(run_onnx(model.SerializeToString(), image), expected) < 1e-5


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), case=st.sampled_from(CASES))
def test_every_architecture_is_a_model_of_finite_outputs(seed, case):
    name, shape, downsampling = case
    space = make_space(name, input_shape=shape, ways=3, downsampling=downsampling)
    genes = space.sample(1, np.random.default_rng(seed))[0]
    model = network_model(space, space.from_genes(genes), seed=seed)
    image = np.random.default_rng(seed).uniform(-1, 1, (1, *shape)).astype(np.float32)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"image": image})
    assert output.shape == (1, 3)
    assert np.isfinite(output).all()


def test_the_seed_makes_the_weights(space):
    architecture = space.chain()
    models = [network_model(space, architecture, seed=seed) for seed in (1, 1, 2)]
    assert models[0] == models[1] != models[2]


@pytest.mark.parametrize("name", ["vgg9", "resnet12"])
def test_a_real_device_times_whole_networks(name, tmp_path):
    space = make_space(name, input_shape=(1, 12, 12), ways=5)
    genes = space.sample(2, np.random.default_rng(0))
    journal = tmp_path / "networks.jsonl"
    quick = TimerSettings(budget_ms=2, interval=0.9)
    with LocalAgent() as agent:
        timings = measure_networks(agent, space, genes[[0, 0]], quick, journal, rounds=1)
        before = journal.read_bytes()
        more = measure_networks(agent, space, genes, quick, journal, rounds=1)
    texts = [str(space.from_genes(row)) for row in genes]
    assert [timing.architecture for timing in timings] == [texts[0], texts[0]]
    assert [timing.architecture for timing in more] == texts
    assert journal.read_bytes().startswith(before)
    for timing in more:
        assert timing.latency.key == timing.architecture
        assert timing.latency.source == "measured"
        assert timing.latency.runtime == "onnx"
        assert 0 < timing.latency.median_ms < 10_000
        assert 0 < timing.sentinel_ms < 10_000


@pytest.fixture
def genes(space):
    return space.sample(2 * WINDOW + 2, np.random.default_rng(0))


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "folder" / "networks.jsonl"


def journaled(journal):
    lines = map(json.loads, journal.read_text().splitlines()[1:])
    return [line["row"]["key"] if "row" in line else "sentinel" for line in lines]


def sizes_of(space, genes):
    return [float(len(network_model(space, space.from_genes(row), seed=0))) for row in genes]


def test_each_network_is_timed_in_each_round_between_sentinels(
    network_device, space, genes, journal
):
    seen = []
    timings = measure_networks(
        network_device(),
        space,
        genes,
        SETTINGS,
        journal,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert [timing.latency.median_ms for timing in timings] == sizes_of(space, genes)
    asked = journaled(journal)
    counts = Counter(asked)
    assert counts.pop("sentinel") == 2 * 4
    assert set(counts.values()) == {2}
    first, second = (asked[:16], asked[16:])
    assert Counter(first) == Counter(second)
    assert first != second
    places = [place for place, key in enumerate(first) if key == "sentinel"]
    assert places == [0, 6, 12, 15]
    total = 2 * len(genes)
    assert seen == [(done, total) for done in range(total + 1)]


@pytest.mark.parametrize("dies_after", [0, 1, 2, WINDOW + 1, WINDOW + 2, 20])
def test_goes_on_after_a_lost_connection(network_device, space, genes, journal, dies_after):
    with pytest.raises(ConnectionResetError):
        measure_networks(network_device(dies_after=dies_after), space, genes, SETTINGS, journal)
    done = [key for key in journaled(journal) if key != "sentinel"] if journal.exists() else []
    board = network_device()
    timings = measure_networks(board, space, genes, SETTINGS, journal)
    assert board.asked.count("network") == 2 * len(genes) - len(done)
    assert [timing.latency.median_ms for timing in timings] == sizes_of(space, genes)
    again = network_device()
    assert measure_networks(again, space, genes, SETTINGS, journal) == timings
    assert not again.asked


def test_a_kill_before_the_last_sentinel_costs_only_that(network_device, space, genes, journal):
    with pytest.raises(ConnectionResetError):
        measure_networks(network_device(dies_after=31), space, genes, SETTINGS, journal)
    assert journaled(journal)[-1] != "sentinel"
    board = network_device()
    measure_networks(board, space, genes, SETTINGS, journal)
    assert journaled(journal)[-1] == "sentinel"
    assert len(board.asked) == 1
    assert "network" not in board.asked


def failing(*times):
    """Weather in which these timings, by their count, end with a failure of the process."""

    def weather(at, row):
        if at in times:
            raise MeasurementFailedError("the process was killed")
        return row

    return weather


@pytest.mark.parametrize("killed", [(3,), (3, 4), (2, 8, 9)])
def test_a_network_whose_process_was_killed_is_tried_again(
    network_device, space, genes, journal, killed
):
    board = network_device(weather=failing(*killed))
    timings = measure_networks(board, space, genes, SETTINGS, journal, rounds=1)
    assert [timing.latency.median_ms for timing in timings] == sizes_of(space, genes)
    assert board.asked.count("network") == len(genes) + len(killed)
    assert max(Counter(key for key in journaled(journal) if key != "sentinel").values()) == 1


def test_a_network_that_fails_again_and_again_ends_the_run(network_device, space, genes, journal):
    """All others are timed before, and are there still when it goes on."""
    lame = network_model(space, space.from_genes(genes[0]), seed=0)

    def weather(_, row):
        if row.median_ms == len(lame):
            raise MeasurementFailedError("no memory")
        return row

    board = network_device(weather=weather)
    with pytest.raises(MeasurementFailedError, match="no memory"):
        measure_networks(board, space, genes, SETTINGS, journal, rounds=1)
    others = [size for size in sizes_of(space, genes) if size != len(lame)]
    assert len(set(journaled(journal)) - {"sentinel"}) == len(others)
    healed = network_device()
    measure_networks(healed, space, genes, SETTINGS, journal, rounds=1)
    assert healed.asked.count("network") == len(genes) - len(others)


def test_a_runtime_that_failed_its_probe_begins_no_journal(network_device, space, genes, journal):
    """Else no later run could go on, since by then the device names it."""
    board = network_device(weather=lambda _, row: dataclasses.replace(row, runtime="onnx"))
    with pytest.raises(DeviceError, match=r"measured with onnx.*did not name"):
        measure_networks(board, space, genes, SETTINGS, journal)
    assert not journal.exists()


def test_a_sentinel_may_fail_once_and_not_for_ever(network_device, space, genes, journal):
    board = network_device(weather=failing(1))
    timings = measure_networks(board, space, genes, SETTINGS, journal, rounds=1)
    assert len(timings) == len(genes)
    board = network_device(weather=failing(1, 2))
    with pytest.raises(MeasurementFailedError):
        measure_networks(board, space, genes, SETTINGS, journal.with_name("other.jsonl"))


def test_a_timing_beside_a_slow_sentinel_gives_way(network_device, space, journal, scale):
    """The first window is slow, sentinels and networks alike; so the second is doubted too."""
    sampled = space.sample(15 * WINDOW, np.random.default_rng(0))
    many = np.unique(space.canonical(sampled), axis=0)
    assert AGAIN_SHARE * len(many) >= 2 * WINDOW
    slow = range(1, WINDOW + 3)
    board = network_device(weather=lambda at, row: scale(row, 1.5 if at in slow else 1.0))
    timings = measure_networks(board, space, many, SETTINGS, journal, rounds=1)
    assert [timing.latency.median_ms for timing in timings] == sizes_of(space, many)
    assert len({timing.sentinel_ms for timing in timings}) == 1
    assert board.asked.count("network") == len(many) + 2 * WINDOW


def test_a_throttled_timing_gives_way_to_one_that_is_not(
    network_device, space, genes, journal, scale, monkeypatch
):
    monkeypatch.setattr("metanas.profiling.timings.cooling.FIRST_REST_S", 0.01)

    def weather(at, row):
        faster = scale(row, 0.5, verdict="throttled", reason="hot")
        return faster if at == 3 else row

    timings = measure_networks(
        network_device(weather=weather), space, genes, SETTINGS, journal, rounds=1
    )
    assert [timing.latency.median_ms for timing in timings] == sizes_of(space, genes)
    assert {timing.latency.verdict for timing in timings} == {"trusted"}


def test_doubt_comes_to_an_end(network_device, space, genes, journal):
    """As in a sweep: not all is timed again where all is doubtful."""

    def weather(_, row):
        return dataclasses.replace(row, verdict="noisy", reason="as ever")

    board = network_device(weather=weather)
    timings = measure_networks(board, space, genes, SETTINGS, journal, rounds=1)
    assert {timing.latency.verdict for timing in timings} == {"noisy"}
    assert board.asked.count("network") == len(genes) + int(AGAIN_SHARE * len(genes))


def throttled(_, row):
    return dataclasses.replace(row, verdict="throttled", reason="hot")


def test_what_was_throttled_in_an_earlier_run_is_tried_again(network_device, space, genes, journal):
    hot = network_device(weather=throttled)
    timings = measure_networks(hot, space, genes, SETTINGS, journal)
    assert {timing.latency.verdict for timing in timings} == {"throttled"}
    assert hot.asked.count("network") == (2 + MOST_AGAIN) * len(genes)
    cool = network_device()
    timings = measure_networks(cool, space, genes, SETTINGS, journal)
    assert {timing.latency.verdict for timing in timings} == {"trusted"}
    assert cool.asked.count("network") == 2 * len(genes)
    assert [timing.latency.median_ms for timing in timings] == sizes_of(space, genes)


def test_a_fresh_run_asks_for_everything_again(network_device, space, genes, journal):
    measure_networks(network_device(), space, genes[:2], SETTINGS, journal)
    others = make_space("vgg9", input_shape=(1, 14, 14), ways=5)
    board = network_device()
    measure_networks(board, space, genes[:2], SETTINGS, journal, fresh=True)
    assert board.asked.count("network") == 4
    with pytest.raises(TableMismatchError, match="--fresh"):
        measure_networks(network_device(), others, genes[:2], SETTINGS, journal)


def test_the_pace_is_told_by_the_layer_that_is_asked_for(network_device, space, genes, journal):
    layer = space.all_layers[3]
    board = network_device()
    measure_networks(board, space, genes[:2], SETTINGS, journal, sentinel=layer)
    assert set(board.asked) == {"network", layer.key}
    with pytest.raises(TableMismatchError, match="sentinel was"):
        measure_networks(board, space, genes[:2], SETTINGS, journal)


def test_no_journal_is_left_of_a_device_that_runs_no_network(device, space, genes, journal):
    with pytest.raises(UnsupportedError):
        measure_networks(device, space, genes, SETTINGS, journal)
    assert not journal.exists()


def test_a_journal_of_other_networks_is_refused_and_kept(network_device, space, genes, journal):
    measure_networks(network_device(), space, genes[:2], SETTINGS, journal)
    before = journal.read_bytes()
    others = make_space("vgg9", input_shape=(1, 14, 14), ways=5)
    with pytest.raises(TableMismatchError, match=r"space\.input was 1x12x12, now 1x14x14"):
        measure_networks(network_device(), others, genes[:2], SETTINGS, journal)
    with pytest.raises(TableMismatchError, match="weights was 0, now 1"):
        measure_networks(network_device(), space, genes[:2], SETTINGS, journal, seed=1)
    assert journal.read_bytes() == before


def test_a_second_run_on_one_journal_is_refused(network_device, space, genes, journal):
    board, refused = network_device(), []

    def second(done, _):
        if done == 3:
            other = network_device()
            with pytest.raises(TableBusyError, match=r"networks\.jsonl.*wait until it ends"):
                measure_networks(other, space, genes, SETTINGS, journal)
            refused.append(other.asked)

    timings = measure_networks(board, space, genes, SETTINGS, journal, on_progress=second)
    assert refused == [[]]
    assert [timing.latency.median_ms for timing in timings] == sizes_of(space, genes)
    assert board.asked.count("network") == 2 * len(genes)


def test_a_network_whose_timings_differ_every_time_is_not_trusted(
    network_device, space, genes, journal, scale
):
    def weather(at, row):
        return scale(row, 1 + 0.9**at) if row.key == "sha256" else row

    timings = measure_networks(network_device(weather=weather), space, genes[:2], SETTINGS, journal)
    for timing in timings:
        assert timing.latency.verdict == "noisy"
        assert timing.latency.reason.startswith("two timings differ by ")
        assert timing.sentinel_ms > 0
