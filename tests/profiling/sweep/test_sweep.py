import dataclasses
import json
from collections import Counter
from itertools import pairwise

import pytest

from metanas.errors import DeviceError, MeasurementFailedError, TableError, TableMismatchError
from metanas.profiling import CALL, LatencyTable, profile, read_table
from metanas.profiling.table import Calibration, write_table
from metanas_agent.layers import parse_layer
from metanas_agent.timer import TimerSettings
from metanas_simulators import make_simulator

SETTINGS = TimerSettings()
BATCH = 20
WINDOW = 5
IN_BATCH = 1 + BATCH + BATCH // WINDOW  # timings, the sentinel's included


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """So that a small space takes several of them."""
    monkeypatch.setattr("metanas.profiling.sweep.asking.BATCH", BATCH)
    monkeypatch.setattr("metanas.profiling.sweep.asking.WINDOW", WINDOW)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "tables" / "toy.tsv"


@pytest.fixture
def journal(out):
    return out.with_name("toy.tsv.journal.jsonl")


def journaled(journal, purpose="row"):
    lines = map(json.loads, journal.read_text().splitlines()[1:])
    return [line[purpose]["key"] for line in lines if purpose in line]


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_times_every_layer_and_the_call_in_each_round(
    weathered, device, space, out, journal, rounds
):
    board = weathered(device)
    table = profile(board, space, SETTINGS, out, rounds=rounds)
    assert list(table.rows) == [CALL.key, *(layer.key for layer in space.all_layers)]
    assert read_table(out) == table
    assert not journal.exists()
    sentinel = table.header.sentinel
    assert len(board.asked) == rounds * len(table.rows) + sentinel.timings
    counts = Counter(board.asked)
    assert counts.pop(sentinel.key) == rounds + sentinel.timings
    assert set(counts.values()) == {rounds}
    assert sentinel.spread == 0.0
    assert table.header.spaces == (space.settings,)
    assert table.header.made["seed"] == 0


def test_what_is_computed_needs_one_round(device, space, out):
    seen = []
    table = profile(device, space, SETTINGS, out, rounds=2, on_progress=seen.append)
    assert seen[-1].total == len(table.rows)
    assert table.shared("source") == "simulated"


def test_the_order_is_random_but_seeded(weathered, device, space, tmp_path):
    orders = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        board = weathered(device)
        profile(board, space, SETTINGS, tmp_path / name, seed=seed)
        orders.append(board.asked)
    assert orders[0] == orders[1] != orders[2]
    half = len(orders[0]) // 2
    assert orders[0][:half] != orders[0][half:]
    work = [parse_layer(key).macs for key in orders[0][:half]]
    assert 0.5 < sum(work[: half // 2]) / sum(work[half // 2 :]) < 2


def test_the_sentinel_stands_around_every_window(weathered, device, space, out):
    board = weathered(device)
    sentinel = profile(board, space, SETTINGS, out).header.sentinel.key
    places = [place for place, key in enumerate(board.asked) if key == sentinel]
    assert places[0] == 0
    assert places[-1] == len(board.asked) - 1
    assert max(b - a for a, b in pairwise(places)) <= WINDOW + 1


def test_progress_counts_up(weathered, device, space, out):
    seen = []
    profile(weathered(device), space, SETTINGS, out, on_progress=seen.append)
    total = 2 * (len(space.all_layers) + 1)
    assert [progress.done for progress in seen] == list(range(total + 1))
    assert {progress.total for progress in seen} == {total}
    assert seen[0].row is None


@pytest.mark.parametrize(
    "dies_after", [0, 1, 2, WINDOW + 1, WINDOW + 2, IN_BATCH, IN_BATCH + 1, 150]
)
def test_goes_on_after_a_lost_connection(weathered, device, space, out, journal, dies_after):
    dying = weathered(device, dies_after=dies_after)
    with pytest.raises(ConnectionResetError):
        profile(dying, space, SETTINGS, out)
    assert not out.exists()
    done = journaled(journal) if journal.exists() else []
    sentinels = len(journaled(journal, "sentinel")) if journal.exists() else 0
    assert len(done) + sentinels == dies_after
    board = weathered(device)
    seen = []
    table = profile(board, space, SETTINGS, out, on_progress=seen.append)
    assert seen[0].done == len(done)
    counts = Counter([*done, *board.asked])
    del counts[table.header.sentinel.key]
    assert set(counts.values()) == {2}
    whole = profile(weathered(device), space, SETTINGS, out.with_name("whole.tsv"))
    assert table.rows == whole.rows


def test_a_torn_last_line_is_timed_again(weathered, device, space, out, journal):
    with pytest.raises(ConnectionResetError):
        profile(weathered(device, dies_after=30), space, SETTINGS, out, rounds=1)
    done = journaled(journal)
    journal.write_bytes(journal.read_bytes()[:-20])
    board = weathered(device)
    profile(board, space, SETTINGS, out, rounds=1)
    assert done[-1] in board.asked
    assert done[-2] not in board.asked


def test_a_journal_torn_in_its_first_line_is_begun_anew(device, space, out, journal):
    journal.parent.mkdir()
    journal.write_text('{"device": {"na')
    assert len(profile(device, space, SETTINGS, out).rows) == len(space.all_layers) + 1


def test_a_finished_table_is_not_measured_again(weathered, device, space, out):
    table = profile(weathered(device), space, SETTINGS, out)
    before = out.read_bytes()
    idle = weathered(device)
    assert profile(idle, space, SETTINGS, out) == table
    assert idle.asked == []
    assert out.read_bytes() == before


def test_fresh_starts_over(weathered, device, space, out, journal):
    with pytest.raises(ConnectionResetError):
        profile(weathered(device, dies_after=30), space, SETTINGS, out)
    board = weathered(device)
    profile(board, space, SETTINGS, out, fresh=True)
    assert set(board.asked) == {CALL.key, *(layer.key for layer in space.all_layers)}
    again = weathered(device)
    profile(again, space, TimerSettings(budget_ms=5), out, fresh=True)
    assert again.asked == board.asked
    assert read_table(out).header.timer["budget_ms"] == 5


def test_fresh_loses_nothing_before_the_device_answers(weathered, device, space, out, journal):
    with pytest.raises(ConnectionResetError):
        profile(weathered(device, dies_after=30), space, SETTINGS, out)
    before = journal.read_bytes()
    with pytest.raises(ConnectionResetError):
        profile(weathered(device, dies_after=0), space, SETTINGS, out, fresh=True)
    assert journal.read_bytes() == before


def test_fresh_replaces_a_broken_journal(weathered, device, space, out, journal):
    journal.parent.mkdir()
    journal.write_text("nonsense\n")
    assert profile(weathered(device), space, SETTINGS, out, fresh=True).rows


@pytest.mark.parametrize("fresh", [False, True])
def test_a_killed_fresh_sweep_goes_on_without_the_old_table(
    weathered, device, space, out, journal, scale, fresh
):
    old = profile(weathered(device), space, SETTINGS, out)
    before = out.read_bytes()

    def slower(_, row):
        return scale(row, 2)

    dying = weathered(device, weather=slower, dies_after=30)
    with pytest.raises(ConnectionResetError):
        profile(dying, space, SETTINGS, out, fresh=True)
    assert out.read_bytes() == before
    done = len(journaled(journal))
    seen = []
    board = weathered(device, weather=slower)
    table = profile(board, space, SETTINGS, out, fresh=fresh, on_progress=seen.append)
    assert seen[0].done == done > 0
    for key, row in table.rows.items():
        assert row.median_ms == pytest.approx(2 * old.rows[key].median_ms)


def other_array(**changes):
    settings = {"backend": "systolic", "rows": 4, "columns": 4, "clock_mhz": 100, "dataflow": "os"}
    return make_simulator("toy", {**settings, **changes})


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    ("device_changes", "timer_changes", "what"),
    [
        ({}, {"budget_ms": 50.0}, "timer.budget_ms was 200.0, now 50.0"),
        ({}, {"core": 1}, r"timer\.core was .*, now 1"),
        ({"dataflow": "ws"}, {}, "device.processor was output-stationary"),
        ({"rows": 8}, {}, "device.machine was systolic array 4x4, now systolic array 8x4"),
    ],
)
def test_refuses_to_go_on_with_other_settings(
    weathered, device, space, out, journal, finished, device_changes, timer_changes, what
):
    if finished:
        profile(weathered(device), space, SETTINGS, out)
    else:
        with pytest.raises(ConnectionResetError):
            profile(weathered(device, dies_after=30), space, SETTINGS, out)
    path = out if finished else journal
    before = path.read_bytes()
    other = weathered(other_array(**device_changes))
    with pytest.raises(TableMismatchError, match=what) as caught:
        profile(other, space, TimerSettings(**timer_changes), out)
    assert "--fresh" in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "broken",
    ['{"row": {}}\n', "nonsense\n", "[]\n", '{"guess": {}}\n', '{"row": {"key": 3}}\n', "\xff\n"],
)
def test_a_broken_journal_is_refused_and_kept(weathered, device, space, out, journal, broken):
    with pytest.raises(ConnectionResetError):
        profile(weathered(device, dies_after=30), space, SETTINGS, out)
    with journal.open("ab") as stream:
        stream.write(broken.encode("latin-1"))
    before = journal.read_bytes()
    with pytest.raises(TableError, match="journal"):
        profile(weathered(device), space, SETTINGS, out)
    assert journal.read_bytes() == before


def test_a_short_spell_spoils_no_row(weathered, device, space, out, scale):
    """Some rows are slow in one round, with tight intervals, and the sentinel saw nothing."""

    def weather(count, row):
        return scale(row, 1.5) if count < 80 and count % 31 in (10, 11, 12) else row

    clean = profile(weathered(device), space, SETTINGS, out.with_name("clean.tsv"))
    table = profile(weathered(device, weather=weather), space, SETTINGS, out)
    assert table.rows == clean.rows


def test_rows_whose_rounds_disagree_are_timed_until_they_agree(
    weathered, device, space, out, scale
):
    unsteady = [layer.key for layer in space.all_layers[:3]]
    seen = Counter()

    def weather(_, row):
        seen[row.key] += 1
        factors = {1: 1.3, 2: 1.2, 3: 1.1, 4: 1.12}
        return scale(row, factors[seen[row.key]]) if row.key in unsteady else row

    clean = profile(weathered(device), space, SETTINGS, out.with_name("clean.tsv"))
    table = profile(weathered(device, weather=weather), space, SETTINGS, out)
    assert [seen[key] for key in unsteady] == [4, 4, 4]
    for key in unsteady:
        assert table.rows[key].median_ms == pytest.approx(1.1 * clean.rows[key].median_ms)


def test_a_noisy_row_is_timed_again_though_its_interval_is_tight(weathered, device, space, out):
    shaky = space.all_layers[3].key
    seen = Counter()

    def weather(_, row):
        seen[row.key] += 1
        noisy = row.key == shaky and seen[row.key] <= 2
        return dataclasses.replace(row, verdict="noisy") if noisy else row

    table = profile(weathered(device, weather=weather), space, SETTINGS, out)
    assert seen[shaky] > 2
    assert table.rows[shaky].verdict == "trusted"


def test_only_so_many_timings_are_made_behind_the_rounds(weathered, device, space, out):
    def weather(_, row):
        return dataclasses.replace(row, high_ms=2 * row.high_ms, verdict="noisy", reason="wind")

    board = weathered(device, weather=weather)
    table = profile(board, space, SETTINGS, out)
    rows = len(table.rows)
    assert len(board.asked) - table.header.sentinel.timings == 2 * rows + int(0.2 * rows)
    assert {row.verdict for row in table.rows.values()} == {"noisy"}


def test_a_throttled_row_is_timed_again_and_never_kept_if_avoidable(
    weathered, device, space, out, scale
):
    hot = [layer.key for layer in space.all_layers[:2]]
    seen = Counter()

    def weather(_, row):
        seen[row.key] += 1
        throttled = row.key in hot and seen[row.key] <= 2
        return scale(row, 0.9, verdict="throttled", reason="too hot") if throttled else row

    clean = profile(weathered(device), space, SETTINGS, out.with_name("clean.tsv"))
    table = profile(weathered(device, weather=weather), space, SETTINGS, out)
    assert [seen[key] for key in hot] == [3, 3]
    assert table.rows == clean.rows


def test_rows_that_stay_throttled_are_timed_when_asked_again(weathered, device, space, out):
    hot = space.all_layers[1].key

    def weather(_, row):
        return dataclasses.replace(row, verdict="throttled") if row.key == hot else row

    table = profile(weathered(device, weather=weather), space, SETTINGS, out)
    assert table.rows[hot].verdict == "throttled"
    assert table.missing(space.all_layers) == [hot]
    cool = weathered(device)
    table = profile(cool, space, SETTINGS, out)
    assert set(cool.asked) == {hot, table.header.sentinel.key}
    assert table.missing(space.all_layers) == []
    assert read_table(out) == table


@pytest.mark.parametrize("factor", [0.7, 1.5])
def test_a_while_in_which_the_device_drifted_gives_way(
    weathered, device, space, out, scale, factor
):
    """A faster or slower while over the third batch, in which every interval stays tight."""
    first = 2 * IN_BATCH + 1

    def weather(count, row):
        return scale(row, factor) if first <= count < first + IN_BATCH else row

    clean = profile(weathered(device), space, SETTINGS, out.with_name("clean.tsv"))
    table = profile(weathered(device, weather=weather), space, SETTINGS, out)
    assert table.rows == clean.rows
    assert table.header.sentinel.spread > 0.03


def test_a_drifted_row_that_has_no_other_timing_is_made_again(weathered, device, space, out, scale):
    first = 2 * IN_BATCH + 1

    def weather(count, row):
        return scale(row, 1.5) if first <= count < first + IN_BATCH else row

    clean = profile(weathered(device), space, SETTINGS, out.with_name("clean.tsv"))
    table = profile(weathered(device, weather=weather), space, SETTINGS, out, rounds=1)
    times = {key: row.median_ms for key, row in clean.rows.items()}
    wrong = [row for key, row in table.rows.items() if row.median_ms != times[key]]
    assert len(wrong) == BATCH - int(0.2 * len(table.rows))
    assert {row.verdict for row in wrong} == {"noisy"}
    assert {row.reason for row in wrong} == {
        "the sentinel was throttled or off its median around it"
    }
    trusted = [row for row in table.rows.values() if row.verdict == "trusted"]
    assert trusted == [clean.rows[row.key] for row in trusted] != []
    assert read_table(out) == table


def test_rows_whose_timings_never_agree_are_not_trusted(weathered, device, space, out, scale):
    """More of them than may be timed again, and each timing is tight."""
    sentinel = profile(weathered(device), space, SETTINGS, out.with_name("clean.tsv"))
    unsteady = {layer.key for layer in space.all_layers} - {sentinel.header.sentinel.key}
    seen = Counter()

    def weather(_, row):
        seen[row.key] += 1
        return scale(row, 2 - 0.1 * seen[row.key]) if row.key in unsteady else row

    table = profile(weathered(device, weather=weather), space, SETTINGS, out)
    assert {table.rows[key].verdict for key in unsteady} == {"noisy"}
    for key in unsteady:
        apart = 0.1 / (2 - 0.1 * seen[key])
        assert table.rows[key].reason == f"two timings differ by {apart:.0%}"
    assert table.rows[CALL.key].verdict == "trusted"


def test_an_interval_as_wide_as_was_asked_for_is_trusted(weathered, device, space, out):
    def weather(_, row):
        return dataclasses.replace(row, high_ms=1.2 * row.median_ms)

    table = profile(weathered(device, weather=weather), space, TimerSettings(interval=0.2), out)
    assert {row.verdict for row in table.rows.values()} == {"trusted"}


def test_a_calibration_is_kept_as_long_as_the_rows_are(weathered, device, space, out):
    bad = space.all_layers[7].key

    def fails(layer):
        if layer.key == bad:
            raise MeasurementFailedError(f"{bad}: no such kernel")

    first = profile(weathered(device, fails=fails), space, SETTINGS, out)
    calibration = Calibration(1.1, 0.01, networks=20, mean_error=0.02, worst_error=0.05)
    header = dataclasses.replace(first.header, calibration=calibration)
    write_table(LatencyTable(header, first.rows), out)
    again = profile(weathered(device, fails=fails), space, SETTINGS, out)
    assert again.rows == first.rows
    assert again.header.calibration == read_table(out).header.calibration == calibration
    whole = profile(weathered(device), space, SETTINGS, out)
    assert bad in whole.rows
    assert whole.header.calibration is None


def test_energy_is_kept_to_six_digits(weathered, device, space, out):
    def weather(_, row):
        return dataclasses.replace(row, energy_mj=1.23456789)

    table = profile(weathered(device, weather=weather), space, SETTINGS, out, rounds=1)
    assert {row.energy_mj for row in table.rows.values()} == {1.23457}
    assert read_table(out) == table


def test_a_batch_is_taken_to_its_end_before_the_next_is_asked_for(weathered, device, space, out):
    """A device does one job at a time."""
    asked = weathered(device)
    measure = asked.measure
    begun, ended = [], []

    def watched(layers, settings):
        assert begun == ended
        begun.append(len(layers))
        yield from measure(layers, settings)
        ended.append(len(layers))

    asked.measure = watched
    profile(asked, space, TimerSettings(), out)
    assert begun == ended != []


def test_an_answer_to_another_question_is_refused(weathered, device, space, out):
    def weather(count, row):
        return dataclasses.replace(row, key="empty/7x7x7") if count == 5 else row

    with pytest.raises(DeviceError, match="answered empty/7x7x7"):
        profile(weathered(device, weather=weather), space, SETTINGS, out)


def test_a_runtime_that_failed_its_probe_begins_no_sweep(weathered, device, space, out, journal):
    """The rows would stand below a header that denies what measured them."""
    board = weathered(device, weather=lambda _, row: dataclasses.replace(row, runtime="onnx"))
    with pytest.raises(DeviceError, match=r"measured with onnx.*when the sweep began"):
        profile(board, space, SETTINGS, out)
    assert not journal.exists()


class TwoRuntimes:
    """A board that could answer with either of its runtimes."""

    def __init__(self, board):
        self.board = board
        self.name = board.name
        self.measure = board.measure

    def describe(self):
        described = self.board.describe()
        return dataclasses.replace(described, runtimes={**described.runtimes, "onnx": "1.20"})


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            {"runtime_version": "9"},
            r"changed in the middle of a sweep: runtime_version was .*now 9",
        ),
        ({"runtime": "onnx"}, "runtime was .*, now onnx"),
        ({"source": "emulated"}, "source was measured, now emulated"),
        ({"method": 1}, "times by method 1, this host needs rows of method"),
    ],
)
@pytest.mark.parametrize("reconnected", [False, True])
def test_a_board_that_comes_back_as_another_mixes_no_rows(
    weathered, device, space, out, journal, change, what, reconnected
):
    """As the one that it was, it goes on."""

    def weather(count, row):
        return dataclasses.replace(row, **change) if reconnected or count > 30 else row

    if reconnected:
        with pytest.raises(ConnectionResetError):
            profile(TwoRuntimes(weathered(device, dies_after=30)), space, SETTINGS, out)
    with pytest.raises(DeviceError, match=what):
        profile(TwoRuntimes(weathered(device, weather=weather)), space, SETTINGS, out)
    assert len(journal.read_text().splitlines()) == 1 + 30
    table = profile(TwoRuntimes(weathered(device)), space, SETTINGS, out)
    assert table.header.left_out == {}
    assert read_table(out) == table


def test_a_board_with_another_runtime_adds_no_row_to_a_table(
    weathered, device, space, out, journal
):
    hot = space.all_layers[1].key

    def weather(_, row):
        return dataclasses.replace(row, verdict="throttled") if row.key == hot else row

    profile(weathered(device, weather=weather), space, SETTINGS, out)
    other = weathered(device, weather=lambda _, row: dataclasses.replace(row, runtime_version="9"))
    with pytest.raises(DeviceError, match=r"runtime_version was .*, now 9"):
        profile(other, space, SETTINGS, out)
    assert not journal.exists()


@pytest.mark.parametrize(("method", "side"), [(1, "agent"), (99, "host")])
def test_rows_of_another_method_say_whom_to_upgrade(
    weathered, device, space, out, journal, method, side
):
    board = weathered(device, weather=lambda _, row: dataclasses.replace(row, method=method))
    with pytest.raises(DeviceError) as caught:
        profile(board, space, SETTINGS, out)
    assert caught.value.hint.startswith(f"upgrade the {side}: ")
    assert "pip install --upgrade metanas" in caught.value.hint
    assert not journal.exists()


def test_a_device_that_stops_answering_is_refused(device, space, out):
    class Curt:
        name = "toy"
        describe = device.describe

        def measure(self, layers, settings):
            return device.measure(layers[:4], settings)

    with pytest.raises(DeviceError, match="answered nothing"):
        profile(Curt(), space, SETTINGS, out)
