import dataclasses

import pytest

from metanas.errors import TableMismatchError
from metanas.profiling import Calibration, LatencyTable, Sentinel, diff, merge, profile
from metanas.spaces import VGG9Space
from metanas_agent.timer import TimerSettings


def change_some(table, with_rows, keys, change):
    return with_rows(table, [change(r) if r.key in keys else r for r in table.rows.values()])


def with_header(table, **changes):
    return LatencyTable(dataclasses.replace(table.header, **changes), table.rows)


def test_a_table_does_not_differ_from_itself(table):
    found = diff(table, table)
    assert found.median_change == 0.0
    assert found.beyond_noise == found.removed == found.added == ()
    assert len(found.changes) == len(table.rows)


def test_finds_what_became_slower(table, with_rows, scale):
    slow, slower = list(table.rows)[5:7]
    after = change_some(table, with_rows, [slow], lambda row: scale(row, 1.5))
    after = change_some(after, with_rows, [slower], lambda row: scale(row, 3))
    found = diff(table, after)
    assert [change.key for change in found.beyond_noise] == [slower, slow]
    assert [change.change for change in found.beyond_noise] == pytest.approx([2.0, 0.5])


def test_a_change_within_the_intervals_is_noise(table, with_rows, scale):
    key = list(table.rows)[5]

    def blurred(row):
        return dataclasses.replace(scale(row, 1.1), low_ms=row.low_ms * 0.9)

    (change,) = (
        c
        for c in diff(table, change_some(table, with_rows, [key], blurred)).changes
        if c.key == key
    )
    assert change.change == pytest.approx(0.1)
    assert not change.beyond_noise


@pytest.mark.parametrize(
    ("spreads", "beyond"),
    [
        ((0.0, 0.0), True),
        ((0.04, 0.0), True),
        ((0.12, 0.0), False),
        ((0.0, 0.12), False),
        ((0.06, 0.06), False),
    ],
)
def test_a_change_within_what_the_sentinels_vary_is_noise(table, with_rows, scale, spreads, beyond):
    """The simulated rows have no interval of their own; one is a tenth slower."""
    key = list(table.rows)[5]
    after = change_some(table, with_rows, [key], lambda row: scale(row, 1.1))
    first, second = (
        with_header(each, sentinel=Sentinel(key, 9, 1.0, 1 - spread, 1 + spread))
        for each, spread in zip((table, after), spreads, strict=True)
    )
    found = diff(first, second)
    assert found.spreads == pytest.approx(spreads)
    assert [change.key for change in found.beyond_noise] == ([key] if beyond else [])


def test_names_rows_that_only_one_has(table, with_rows):
    first, *rest = table.rows.values()
    less = with_rows(table, rest)
    assert diff(table, less).removed == (first.key,)
    assert diff(less, table).added == (first.key,)


def test_a_throttled_row_is_not_compared(table, with_rows, scale):
    key = list(table.rows)[5]
    hot = change_some(table, with_rows, [key], lambda row: scale(row, 3, verdict="throttled"))
    for found, absent in ((diff(table, hot), "removed"), (diff(hot, table), "added")):
        assert getattr(found, absent) == (key,)
        assert key not in [change.key for change in found.changes]
        assert found.beyond_noise == ()
    found = diff(hot, hot)
    assert len(found.changes) == len(table.rows) - 1
    assert found.removed == found.added == ()


def test_from_nothing_to_something_is_infinite(table, with_rows):
    call, *rest = table.rows.values()
    costly = dataclasses.replace(call, median_ms=1.0, low_ms=1.0, high_ms=1.0)
    change = diff(table, with_rows(table, [costly, *rest])).changes[0]
    assert change.change == float("inf")
    assert change.beyond_noise


def test_diff_refuses_another_method(table, with_rows):
    other = with_rows(table, [dataclasses.replace(r, method=99) for r in table.rows.values()])
    with pytest.raises(TableMismatchError, match="method: 2 and 99"):
        diff(table, other)


def test_merges_two_spaces(table, device, tmp_path, space):
    other = VGG9Space(
        input_shape=(1, 12, 12), ways=5, global_expansion=False, downsampling="strided"
    )
    second = profile(device, other, TimerSettings(), tmp_path / "other.tsv")
    merged = merge(table, second)
    assert merged.conflicts == ()
    assert list(merged.table.rows)[: len(table.rows)] == list(table.rows)
    assert merged.table.rows == {**table.rows, **second.rows}
    assert merged.table.header.spaces == (space.settings, other.settings)
    for searched in (space, other):
        assert merged.table.missing(searched.all_layers) == []


def test_the_tighter_interval_wins(table, with_rows):
    keys = list(table.rows)[3:5]
    loose = change_some(
        table, with_rows, keys, lambda row: dataclasses.replace(row, high_ms=2 * row.high_ms)
    )
    for merged in (merge(table, loose), merge(loose, table)):
        assert merged.conflicts == tuple(keys)
        assert merged.table.rows == table.rows


def test_a_throttled_row_never_wins(table, with_rows):
    key = list(table.rows)[3]
    hot = change_some(
        table, with_rows, [key], lambda row: dataclasses.replace(row, verdict="throttled")
    )
    wide = change_some(
        table, with_rows, [key], lambda row: dataclasses.replace(row, high_ms=2 * row.high_ms)
    )
    assert merge(hot, wide).table.rows[key].verdict == "trusted"


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"verdict": "trusted"}, {"verdict": "noisy"}),
        ({"verdict": "noisy"}, {"verdict": "trusted", "source": "estimated"}),
        ({"verdict": "trusted", "source": "estimated"}, {"verdict": "throttled"}),
        ({"verdict": "noisy", "source": "estimated"}, {"verdict": "throttled"}),
    ],
)
def test_a_tight_interval_does_not_make_up_for_doubt(table, with_rows, better, worse):
    key = list(table.rows)[3]

    def with_one(changes, width):
        def change(row):
            return dataclasses.replace(row, high_ms=width * row.high_ms, **changes)

        return change_some(table, with_rows, [key], change)

    first, second = with_one(better, 2.0), with_one(worse, 1.0)
    for merged in (merge(first, second), merge(second, first)):
        assert merged.table.rows[key] == first.rows[key]
        assert merged.conflicts == (key,)


def test_merges_estimated_rows_with_measured_ones(table, with_rows):
    call, *others = table.rows.values()
    estimated = with_rows(
        table, [call, *(dataclasses.replace(row, source="estimated") for row in others)]
    )
    measured = with_rows(table, [call, *others[:-1]])
    for merged in (merge(estimated, measured), merge(measured, estimated)):
        assert set(merged.table.rows) == set(table.rows)
        assert [row.key for row in merged.table.rows.values() if row.source == "estimated"] == [
            others[-1].key
        ]
        assert merged.table.shared("source") == "estimated"
    assert merge(estimated, table).table.shared("source") == "simulated"


def test_estimates_do_not_hide_an_emulator(table, with_rows):
    rows = table.rows.values()
    emulated, estimated = (
        with_rows(table, [dataclasses.replace(row, source=source) for row in rows])
        for source in ("emulated", "estimated")
    )
    with pytest.raises(TableMismatchError, match="source: emulated and estimated"):
        merge(emulated, estimated)


def test_a_merged_table_says_when_and_how_it_was_merged(table, monkeypatch):
    monkeypatch.setattr("sys.argv", ["metanas-profile", "merge", "a", "b"])
    made = {"command": "metanas-profile --device toy", "made": "long ago", "seed": 3}
    first, second = (with_header(table, made=made) for _ in range(2))
    header = merge(first, second).table.header
    assert header.made["command"] == "metanas-profile merge a b"
    assert header.made["made"] != "long ago"
    assert "seed" not in header.made


def test_keeps_what_both_headers_say(table):
    steady, shaky = (Sentinel("conv", 9, 1.0, 1.0 - s, 1.0 + s) for s in (0.01, 0.2))
    first = with_header(table, timer={"seed": 1, "budget_ms": 50.0}, sentinel=shaky)
    second = with_header(table, timer={"seed": 2, "budget_ms": 50.0}, sentinel=steady)
    header = merge(first, second).table.header
    assert header.timer == {"budget_ms": 50.0}
    assert header.sentinel == shaky


def test_a_measured_row_wins_over_an_estimated_one(table, with_rows):
    """However sure the estimate is of itself."""
    estimated, measured = list(table.rows)[3:5]

    def mixed(key):
        wide = change_some(
            table, with_rows, [measured], lambda row: dataclasses.replace(row, high_ms=9e9)
        )
        return change_some(
            wide, with_rows, [key], lambda row: dataclasses.replace(row, source="estimated")
        )

    first, second = mixed(estimated), mixed(measured)
    for merged in (merge(first, second), merge(second, first)):
        assert {row.source for row in merged.table.rows.values()} == {"simulated"}
        assert merged.table.rows[measured].high_ms == 9e9


def test_what_one_table_left_out_may_be_in_the_other(table, with_rows):
    first, second, *rest = table.rows.values()
    left_out = {first.key: "budget", second.key: "budget", "conv/never": "crashed"}
    less = with_header(with_rows(table, [first, *rest]), left_out={second.key: "budget"})
    least = with_header(with_rows(table, rest), left_out=left_out)
    header = merge(less, least).table.header
    assert header.left_out == {second.key: "budget", "conv/never": "crashed"}


def test_a_calibration_is_not_that_of_the_union(table):
    calibrated = with_header(table, calibration=Calibration(1.1, 0.0, 20, 0.01, 0.02))
    assert merge(calibrated, calibrated).table.header.calibration is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source", "measured"),
        ("source", "emulated"),
        ("runtime", "onnx"),
        ("runtime_version", "9"),
        ("method", 99),
    ],
)
def test_merge_refuses_rows_made_in_another_way(table, with_rows, name, value):
    other = with_rows(table, [dataclasses.replace(r, **{name: value}) for r in table.rows.values()])
    with pytest.raises(TableMismatchError, match=name):
        merge(table, other)


@pytest.mark.parametrize("name", ["name", "machine", "processor", "source"])
def test_merge_refuses_another_device(table, name):
    device = dataclasses.replace(table.header.device, **{name: "other"})
    with pytest.raises(TableMismatchError, match=f"device {name}: .* and other"):
        merge(table, with_header(table, device=device))


def test_merge_refuses_another_dtype(table):
    (space,) = table.header.spaces
    other = with_header(table, spaces=({**space, "dtype": "int8"},))
    with pytest.raises(TableMismatchError, match="differ in dtype: float32 and int8"):
        merge(table, other)
    assert merge(other, other).table.header.dtype == "int8"
