"""Rows that something disturbed are timed again, and marked if that does not help."""

import dataclasses
from collections import Counter

import pytest

from metanas.profiling import CALL, profile, read_table
from metanas_agent.timer import TimerSettings
from support.small_batches import BATCH, IN_BATCH

SETTINGS = TimerSettings()

pytestmark = pytest.mark.usefixtures("small_batches")


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
