"""Sweeps that end before they have everything, and the ones that complete them."""

import json
from collections import Counter

import pytest

from metanas.errors import MissingRowsError, TableError
from metanas.profiling import CALL, OVER_BUDGET, expected_shares, profile, read_table
from metanas_agent.timer import TimerSettings

SETTINGS = TimerSettings()


@pytest.fixture
def out(tmp_path):
    return tmp_path / "toy.tsv"


@pytest.fixture
def journal(out):
    return out.with_name("toy.tsv.journal.jsonl")


@pytest.fixture
def slow_board(weathered, device, clock):
    """A device that takes a second for each timing."""

    def make(**options):
        def weather(_, row):
            clock.now_s += 1
            return row

        return weathered(device, weather=weather, **options)

    return make


def test_the_budget_ends_inside_a_batch_and_the_device_is_free_again(slow_board, space, out):
    board = slow_board()
    table = profile(board, space, SETTINGS, out, budget_s=30)
    assert len(board.asked) == 30
    sentinels = board.asked.count(table.header.sentinel.key)
    assert len(table.rows) + sentinels - (table.header.sentinel.key in table.rows) == 30
    assert read_table(out) == table
    assert len(list(board.measure(space.all_layers[:3], SETTINGS))) == 3


def test_what_is_left_out_is_named_and_priced_by_nobody(slow_board, space, out):
    table = profile(slow_board(), space, SETTINGS, out, budget_s=30)
    keys = [CALL.key, *(layer.key for layer in space.all_layers)]
    assert list(table.header.left_out) == [key for key in keys if key not in table.rows]
    assert set(table.header.left_out.values()) == {OVER_BUDGET}
    assert table.missing(space.all_layers) == list(table.header.left_out)
    genes = space.encode([space.largest()])
    lacking = [
        layer.key for layer in space.layers(space.largest()) if layer.key in table.header.left_out
    ]
    with pytest.raises(MissingRowsError) as caught:
        table.latency_ms(space, genes)
    assert lacking[0] in str(caught.value)
    assert f"lacks {len(lacking)} rows" in str(caught.value)


def test_the_rows_that_a_search_needs_most_come_first(slow_board, space, out):
    table = profile(slow_board(), space, SETTINGS, out, budget_s=45)
    shares = expected_shares(space)
    measured = sum(shares.get(key, 0) for key in table.rows)
    assert len(table.rows) < 0.6 * len(space.all_layers)
    assert measured > 0.7
    assert CALL.key in table.rows


@pytest.mark.parametrize("rounds", [1, 2])
def test_the_same_command_without_a_budget_completes_the_table(
    slow_board, weathered, device, space, out, journal, rounds
):
    first = slow_board()
    profile(first, space, SETTINGS, out, rounds=rounds, budget_s=40)
    assert journal.exists()
    second = weathered(device)
    table = profile(second, space, SETTINGS, out, rounds=rounds)
    assert table.header.left_out == {}
    assert table.missing(space.all_layers) == []
    assert read_table(out) == table
    assert not journal.exists()
    counts = Counter([*first.asked, *second.asked])
    assert counts.pop(table.header.sentinel.key) > rounds
    assert set(counts.values()) == {rounds}
    assert "[left_out]" not in out.read_text()
    assert table.rows == profile(weathered(device), space, SETTINGS, out.with_name("o")).rows


def test_budget_after_budget_completes_the_table_too(slow_board, space, out, journal):
    """The budget is of each run, however much the runs before took."""
    rows = []
    for _ in range(30):
        table = profile(slow_board(), space, SETTINGS, out, rounds=1, budget_s=40)
        rows.append(len(table.rows))
        if not journal.exists():
            break
    assert table.header.left_out == {}
    assert rows[:2] == sorted(rows[:2])
    assert rows[-1] == len(space.all_layers) + 1


def test_the_smallest_budget_still_comes_further(weathered, device, space, out):
    for count in (1, 2, 3):
        table = profile(weathered(device), space, SETTINGS, out, rounds=1, budget_s=1e-9)
        assert len(table.rows) == count
    assert next(iter(table.rows)) == CALL.key


def test_killed_within_a_budget_it_loses_nothing(slow_board, space, out, journal):
    """The time before the kill does not count to the next run's budget."""
    with pytest.raises(ConnectionResetError):
        profile(slow_board(dies_after=25), space, SETTINGS, out, budget_s=40)
    kept = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    assert len(kept) == 25
    board = slow_board()
    table = profile(board, space, SETTINGS, out, budget_s=40)
    assert len(board.asked) == 40
    timed = {line["row"]["key"] for line in kept if "row" in line}
    assert timed < set(table.rows)
    assert not timed & {key for key in board.asked if key != table.header.sentinel.key}


def test_what_is_noisy_when_the_budget_ends_can_be_trusted_later(
    weathered, device, space, out, clock, scale
):
    """The journal has what the device said, not what the first table made of it."""

    def weather(count, row):
        clock.now_s += 1
        return scale(row, 1.5) if 14 <= count <= 28 else row

    board = weathered(device, weather=weather)
    first = profile(board, space, SETTINGS, out, rounds=1, budget_s=40)
    noisy = {key for key, row in first.rows.items() if row.verdict == "noisy"}
    assert noisy
    table = profile(weathered(device), space, SETTINGS, out, rounds=2)
    assert {row.verdict for row in table.rows.values()} == {"trusted"}
    clean = profile(weathered(device), space, SETTINGS, out.with_name("clean.tsv"))
    assert table.rows == clean.rows


def test_a_budget_for_more_than_all_is_as_none(slow_board, space, out, journal):
    table = profile(slow_board(), space, SETTINGS, out, budget_s=1e6)
    assert table.header.left_out == {}
    assert not journal.exists()


@pytest.mark.parametrize("finished", [False, True])
def test_fresh_within_a_budget_replaces_no_table_that_has_more(
    slow_board, weathered, device, space, out, journal, finished
):
    budget_s = 1e6 if finished else 40
    old = profile(slow_board(), space, SETTINGS, out, budget_s=budget_s)
    before = [path.read_bytes() for path in (out, journal) if path.exists()]
    idle = slow_board()
    with pytest.raises(TableError, match=f"lose {len(old.rows)} rows of .*leave out --budget"):
        profile(idle, space, SETTINGS, out, fresh=True, budget_s=40)
    assert idle.asked == []
    assert [path.read_bytes() for path in (out, journal) if path.exists()] == before
    assert len(before) == 2 - finished
    assert profile(weathered(device), space, SETTINGS, out).header.left_out == {}


@pytest.mark.parametrize("fresh", [False, True])
def test_a_killed_fresh_sweep_goes_on_within_a_budget_only_where_nothing_is_lost(
    slow_board, space, out, fresh
):
    profile(slow_board(), space, SETTINGS, out)
    before = out.read_bytes()
    with pytest.raises(ConnectionResetError):
        profile(slow_board(dies_after=30), space, SETTINGS, out, fresh=True)
    with pytest.raises(TableError, match="starting over within a budget"):
        profile(slow_board(), space, SETTINGS, out, fresh=fresh, budget_s=40)
    assert out.read_bytes() == before
    with pytest.raises(ConnectionResetError):  # each row once, and some twice
        profile(slow_board(dies_after=100), space, SETTINGS, out, fresh=True)
    assert profile(slow_board(), space, SETTINGS, out, budget_s=2).header.left_out == {}


def test_fresh_within_a_budget_goes_on_from_its_own_table(slow_board, space, out, journal):
    out.write_text("no table")
    rows = [
        len(profile(slow_board(), space, SETTINGS, out, fresh=True, budget_s=40).rows)
        for _ in range(3)
    ]
    assert rows[0] < rows[1] < rows[2]


def test_a_simulated_device_keeps_to_the_budget_and_to_one_round(device, space, out):
    table = profile(device, space, SETTINGS, out, rounds=3, budget_s=1e-9)
    assert len(table.rows) == 1
    seen = []
    table = profile(device, space, SETTINGS, out, rounds=3, on_progress=seen.append)
    assert seen[0].done == 1
    assert seen[-1].done == seen[-1].total == len(table.rows) == len(space.all_layers) + 1
