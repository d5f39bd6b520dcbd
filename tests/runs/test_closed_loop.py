"""A search whose winner is timed before it is answered."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict, replace

import pytest

from metanas.deploy import Agreement, Network, Prediction, Verification, read_verification
from metanas.devices import LocalAgent
from metanas.errors import ConstraintError
from metanas.files import write_json
from metanas.meta import OuterSettings
from metanas.parallel import Workers
from metanas.profiling import LatencyTable, profile, read_table, write_table
from metanas.runs import (
    FOUND,
    RunFolder,
    calibrate_own_table,
    closed_loop,
    measure_winner,
    search,
    train_network,
    train_supernet,
    verify_on,
)
from metanas.search import Candidate, Constraint, SearchResult, SearchSettings, ShrinkingSettings
from metanas_agent.measurement import Measurement
from metanas_agent.timer import TimerSettings

OUTER = OuterSettings(epochs=1, iterations=1, tasks=1, inner_steps=1)
SHRINKING = ShrinkingSettings(start_epoch=1, end_epoch=1)
SEARCH = SearchSettings(population=4, rounds=2, tasks=1, finalists=2, final_tasks=1)
QUICK = TimerSettings(interval=0.05, budget_ms=10)
WRONG = 4.0
"""The factor that a table's rows are off by: more than any noise of a shared machine."""


def times(row, factor):
    names = ("median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms")
    return replace(row, **{name: getattr(row, name) * factor for name in names})


class Loop:
    """Candidates that a search finds one after the other, and what a device makes of them.

    Each is (latency that the table says, latency as measured, loss).
    """

    def __init__(self, folder, found, *, limit_ms=1.0, verdict="trusted"):
        self.folder, self.found, self.verdict = folder, iter(found), verdict
        self.calibrated, self.steps = [], []
        self.limits = [Constraint("latency_ms", limit_ms, "array"), Constraint("params", 1e6)]

    def search(self):
        self.now = next(self.found)
        candidate = Candidate(f"network {self.now}", self.now[2], 0.5, {})
        values = {"winner": asdict(candidate), "constraints": [asdict(c) for c in self.limits]}
        write_json(self.folder.search, values)
        return SearchResult(candidate, (candidate,), (), (), 1, 1)

    def measure(self, device, architecture):
        predicted_ms, measured_ms, _ = self.now
        return Verification(
            device=device,
            network=Network(name="winner", architecture=architecture),
            agreement=Agreement(
                networks=1,
                images=1,
                largest_difference=0.0,
                largest_share=0.0,
                p999_share=0.0,
                top1=1.0,
                tolerance=1e-4,
            ),
            device_accuracy=None,
            host_accuracy=None,
            predicted=Prediction(
                latency_ms=predicted_ms, low_ms=0, high_ms=2 * predicted_ms, source="measured"
            ),
            measured=Measurement(
                key="k",
                **dict.fromkeys(
                    ("median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms"), measured_ms
                ),
                samples=1,
                repeats=1,
                source="measured",
                runtime="onnx",
                runtime_version="1",
                verdict=self.verdict,
            ),
            medians_ms=(measured_ms,),
            memory=None,
            latency_tolerance=0.1,
        )

    def run(self):
        return closed_loop(
            self.folder,
            self.search,
            self.measure,
            lambda device, number: self.calibrated.append((device, number)),
            observer=self.steps.append,
        )

    @property
    def winner(self):
        return json.loads(self.folder.search.read_text())["winner"]["architecture"]


@pytest.fixture
def run(settings, table_file, tmp_path):
    """A run folder whose table of the simulated device says that it was measured."""
    folder = RunFolder.create(tmp_path / "run", settings)
    table = read_table(table_file)
    rows = {key: replace(row, source="measured") for key, row in table.rows.items()}
    write_table(LatencyTable(table.header, rows), folder.table("array"))
    return folder


def test_a_winner_that_is_as_fast_as_promised_is_kept(run):
    loop = Loop(run, [(1.0, 1.05, 0.3)])
    assert loop.run().architecture == loop.winner == "network (1.0, 1.05, 0.3)"
    assert not loop.calibrated
    (line,) = map(json.loads, run.closed_loop.read_text().splitlines())
    assert (line["verdict"], line["done"]) == ("as predicted", "kept")
    assert (line["predicted_ms"], line["measured_ms"], line["limit_ms"]) == (1.0, 1.05, 1.0)
    assert line["provenance"]["seed"] == run.settings.seed


def test_tables_are_calibrated_until_the_winner_is(run):
    loop = Loop(run, [(1.0, 1.5, 0.3), (0.9, 1.1, 0.4), (0.9, 0.91, 0.5)])
    assert loop.run().loss == 0.5
    assert loop.calibrated == [("array", 0), ("array", 1)]
    assert [step.done for step in loop.steps] == ["calibrated", "calibrated", "kept"]
    assert [step.round for step in loop.steps] == [0, 1, 2]


def test_behind_three_calibrations_the_best_that_keeps_the_limit_is_taken(run):
    loop = Loop(run, [(1.0, 1.5, 0.1), (1.0, 0.8, 0.3), (1.0, 0.7, 0.2), (1.0, 0.6, 0.4)])
    assert loop.run().loss == 0.2
    assert loop.winner == "network (1.0, 0.7, 0.2)"
    assert len(loop.calibrated) == 3
    assert loop.steps[-1].done == "gave up"


def test_none_that_keeps_the_limit_is_an_error(run):
    loop = Loop(run, [(1.0, 1.5, 0.1), (1.0, 1.4, 0.3), (1.0, 1.3, 0.2), (1.0, 1.2, 0.4)])
    with pytest.raises(ConstraintError, match=r"none of 4 .* took 1\.2 ms on array, allowed are 1"):
        loop.run()
    assert len(run.closed_loop.read_text().splitlines()) == 4


def test_without_a_latency_that_can_be_measured_there_is_no_loop(run, table_file):
    loop = Loop(run, [(1.0, 1.0, 0.1)])
    loop.limits = [Constraint("params", 1e6)]
    with pytest.raises(ConstraintError, match="no latency of a device"):
        loop.run()
    write_table(read_table(table_file), run.table("array"))
    loop = Loop(run, [(1.0, 1.0, 0.1)])
    with pytest.raises(ConstraintError, match="no latency of a device"):
        loop.run()


@pytest.fixture(scope="module")
def agent():
    with closing(LocalAgent()) as agent:
        yield agent


def test_a_real_agent_mends_a_table_that_is_wrong(settings, glyphs, agent, tmp_path):
    """Training, searching, timing, calibrating, and verifying what was trained: all of it real."""
    folder = RunFolder.create(tmp_path / "run", settings)
    space = settings.make_space(glyphs)
    right = profile(agent, space, QUICK, tmp_path / "right.tsv", rounds=1)
    rows = {key: times(row, WRONG) for key, row in right.rows.items()}
    wrong = LatencyTable(right.header, rows)
    write_table(wrong, tmp_path / "wrong.tsv")
    folder.keep_table(tmp_path / "wrong.tsv")
    steps = []
    with Workers(1) as workers:
        train_supernet(workers, folder, OUTER, SHRINKING)
        winner = closed_loop(
            folder,
            lambda: search(workers, folder, ["latency_ms[local]<=1000"], SEARCH),
            lambda _, text: measure_winner(
                agent, folder, text, QUICK, latency_tolerance=1 - 2 / WRONG
            ),
            lambda _, number: calibrate_own_table(agent, folder, number=number, networks=5),
            most_calibrations=1,
            observer=steps.append,
        )
        train_network(workers, folder, FOUND, winner.architecture, OUTER)
    first, last = steps[0], steps[-1]
    assert (first.verdict, first.done) == ("off", "calibrated")
    assert first.measured_ms < first.predicted_ms / 2
    table = read_table(folder.table("local"))
    assert table.header.calibration.scale < 2 / WRONG
    assert last.predicted_ms < first.predicted_ms * 2 / WRONG
    assert winner.architecture == json.loads(folder.search.read_text())["winner"]["architecture"]
    assert read_table(folder.given_tables["local"]).rows == wrong.rows

    done = []
    verification = verify_on(agent, folder, table, QUICK, episodes=3, observer=done.append)
    assert read_verification(folder.verification) == verification
    assert verification.outputs_pass
    assert verification.agreement.top1 == 1
    assert verification.agreement.images == 3 * 3 * 2
    assert verification.device_accuracy == verification.host_accuracy
    assert verification.device_accuracy.episodes == len(verification.medians_ms) == 3
    assert verification.memory_verdict == "as promised"
    assert verification.slowdown > 0
    assert done == [1, 2, 3]
