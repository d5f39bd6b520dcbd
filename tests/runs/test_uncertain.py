"""A search that rests on estimated rows measures them before it answers."""

import json
from dataclasses import replace

import pytest

from metanas.errors import ConstraintError, MeasurementFailedError, SettingsMismatchError
from metanas.meta import OuterSettings
from metanas.parallel import Workers
from metanas.profiling import LatencyTable, read_table, write_table
from metanas.profiling.estimate import uncertain
from metanas.runs import RunFolder, search, train_supernet
from metanas.runs.uncertain import measure_uncertain
from metanas.search import SearchSettings, ShrinkingSettings

OUTER = OuterSettings(epochs=1, iterations=1, tasks=1, inner_steps=1)
SHRINKING = ShrinkingSettings(start_epoch=1, end_epoch=1)
SEARCH = SearchSettings(population=4, rounds=2, tasks=1, finalists=2, final_tasks=1)
LIMITS = ["latency_ms<=50%", "params<=20k"]


@pytest.fixture(scope="module")
def measured(table_file):
    return read_table(table_file)


def estimated_from(table, factor=1.0):
    """The table as if all but the call were estimated, and wrongly by a factor."""

    def estimate(row):
        times = {name: getattr(row, name) * factor for name in ("median_ms", "p10_ms", "p90_ms")}
        wide = {"low_ms": row.median_ms * factor * 0.5, "high_ms": row.median_ms * factor * 2}
        return replace(row, source="estimated", verdict="noisy", reason="test", **times, **wide)

    call, *rest = table.rows.values()
    return LatencyTable(table.header, {r.key: r for r in [call, *map(estimate, rest)]})


def slower(row, factor):
    names = ("median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms")
    return replace(row, **{name: getattr(row, name) * factor for name in names})


@pytest.fixture
def run(settings, trained, tmp_path):
    """A run folder with a trained super-network, and a function that gives it a table."""
    folder = RunFolder.create(tmp_path / "run", settings)
    folder.take_over(trained, "supernet")

    def with_table(table):
        write_table(table, tmp_path / "given.tsv")
        folder.keep_table(tmp_path / "given.tsv")
        return folder

    return with_table


@pytest.fixture(scope="module")
def trained(settings, tmp_path_factory):
    folder = RunFolder.create(tmp_path_factory.mktemp("trained") / "run", settings)
    with Workers(1) as workers:
        train_supernet(workers, folder, OUTER, SHRINKING)
    return folder


@pytest.fixture
def workers():
    with Workers(1) as workers:
        yield workers


class Board:
    """Measures what it is asked for, by a table that is the truth, but not `lacking`."""

    def __init__(self, truth, lacking=0):
        self.truth, self.lacking, self.asked = truth, lacking, []

    def __call__(self, table, layers):
        self.asked += [layer.key for layer in layers]
        rows = [self.truth.rows[layer.key] for layer in layers][self.lacking :]
        return LatencyTable(self.truth.header, {row.key: row for row in rows})


def test_no_finalist_rests_on_an_uncertain_row(workers, run, measured):
    folder, board = run(estimated_from(measured)), Board(measured)
    result = search(workers, folder, LIMITS, SEARCH, measure=board)
    space = folder.settings.make_space(folder.settings.load_data())
    (path,) = folder.tables.values()
    table = read_table(path)
    for candidate in result.finalists:
        layers = space.layers(space.parse(candidate.architecture))
        assert not uncertain(table, layers)
        (cost,) = (value for name, value in candidate.costs.items() if "latency" in name)
        genes = space.encode([space.parse(candidate.architecture)])
        assert cost == pytest.approx(measured.latency_ms(space, genes)[0])
    assert len(set(board.asked)) == len(board.asked) < len(table.rows) / 4
    found = json.loads(folder.search.read_text())
    assert found["winner"]["architecture"] == result.winner.architecture


def test_without_being_asked_nothing_is_measured(workers, run, measured):
    folder = run(estimated_from(measured))
    search(workers, folder, LIMITS, SEARCH)
    (path,) = folder.tables.values()
    assert read_table(path) == estimated_from(measured)


def test_a_measured_table_needs_nothing(workers, run, measured):
    board = Board(measured)
    search(workers, run(measured), LIMITS, SEARCH, measure=board)
    assert not board.asked


def test_finalists_that_turn_out_too_slow_give_way(workers, run, measured):
    folder, board = run(estimated_from(measured)), Board(measured)
    before = search(workers, folder, LIMITS, SEARCH)
    # Each layer of the first finalists takes 100 times as long as it was thought to.
    slow = {key: slower(row, 100) for key, row in measured.rows.items()}

    def measure(table, layers):
        truth = Board(LatencyTable(measured.header, slow)) if not board.asked else board
        board.asked += [layer.key for layer in layers]
        return truth(table, layers)

    after = search(workers, folder, LIMITS, SEARCH, measure=measure)
    assert not {c.architecture for c in before.finalists} & {
        c.architecture for c in after.finalists
    }
    limits = json.loads(folder.search.read_text())["constraints"]
    (limit,) = (limit["limit"] for limit in limits if limit["metric"] == "latency_ms")
    for candidate in after.finalists:
        (cost,) = (value for name, value in candidate.costs.items() if "latency" in name)
        assert cost <= limit


def test_when_none_is_left_that_is_said(workers, run, measured):
    folder, board = run(estimated_from(measured, 0.01)), Board(measured)
    with pytest.raises(ConstraintError, match="now that rows are measured"):
        search(workers, folder, ["latency_ms<=20%"], SEARCH, measure=board)


def test_a_row_that_cannot_be_measured_is_an_error(workers, run, measured):
    folder = run(estimated_from(measured))
    with pytest.raises(MeasurementFailedError, match="could not time 1 estimated row"):
        search(workers, folder, LIMITS, SEARCH, measure=Board(measured, lacking=1))


def test_what_was_measured_stays_when_the_command_is_given_again(workers, run, measured):
    """With the same table and a percentage of the largest, whose measured rows are slower."""
    guess, board = estimated_from(measured, 0.7), Board(measured)
    folder = run(guess)
    first = search(workers, folder, LIMITS, SEARCH, measure=board)
    space = folder.settings.make_space(folder.settings.load_data())
    measure_uncertain(folder, [str(space.largest())], board)
    (path,) = folder.tables.values()
    better = path.read_bytes()
    limits = json.loads(folder.search.read_text())["constraints"]
    board.asked.clear()
    run(guess)
    again = search(workers, folder, LIMITS, SEARCH, measure=board)
    assert not board.asked
    assert path.read_bytes() == better
    assert again.winner == first.winner
    assert json.loads(folder.search.read_text())["constraints"] == limits


def test_another_table_takes_the_place_of_one_with_measured_rows(workers, run, measured):
    folder = run(estimated_from(measured))
    search(workers, folder, ["params<=20k"], SEARCH, measure=Board(measured))
    run(estimated_from(measured, 1.5))
    (path,) = folder.tables.values()
    assert read_table(path) == estimated_from(measured, 1.5)
    assert folder.given_tables == folder.tables


def test_what_was_measured_stays_when_the_search_is_asked_again(workers, run, measured):
    folder, board = run(estimated_from(measured)), Board(measured)
    first = search(workers, folder, ["params<=20k"], SEARCH, measure=board)
    board.asked.clear()
    again = search(workers, folder, ["params<=20k"], SEARCH, measure=board)
    assert again.winner == first.winner
    assert not board.asked
    with pytest.raises(SettingsMismatchError):
        search(workers, folder, ["params<=19k"], SEARCH, measure=board)
