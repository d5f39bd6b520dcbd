"""A sweep that was stopped goes on, and only where it may."""

from collections import Counter

import pytest

from metanas.errors import TableError, TableMismatchError
from metanas.profiling import CALL, profile, read_table
from metanas_agent.timer import TimerSettings
from metanas_simulators import make_simulator
from support.small_batches import IN_BATCH, WINDOW, journaled

SETTINGS = TimerSettings()

pytestmark = pytest.mark.usefixtures("small_batches")


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
        ({"rows": 8}, {}, "device.machine was accelerator of 4x4 .*, now accelerator of 8x4 "),
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
