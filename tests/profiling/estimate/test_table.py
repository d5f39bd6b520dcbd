"""Estimated tables: estimates say so, measured rows stay, and emulated ones are refused."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from metanas.errors import EmulatedTableError, MissingRowsError, TableMismatchError
from metanas.profiling import CALL, LatencyTable, merge, read_table, write_table
from metanas.profiling.estimate import Estimator, replace_estimated, uncertain


@pytest.fixture(scope="module")
def measured(estimator, tables):
    """Twelve probes of the new device and the call."""
    layers = (CALL, *estimator.choose_probes(12))
    table = tables["is"]
    return LatencyTable(table.header, {layer.key: table.rows[layer.key] for layer in layers})


@pytest.fixture(scope="module")
def estimated(estimator, measured):
    return estimator.estimate(measured)


def of_source(table, source):
    rows = {key: replace(row, source=source) for key, row in table.rows.items()}
    header = replace(table.header, device=replace(table.header.device, source=source))
    return LatencyTable(header, rows)


class TestEstimated:
    def test_it_has_every_row_and_prices_every_architecture(self, estimated, space, tables):
        assert not estimated.missing(space.all_layers)
        genes = space.sample(100, np.random.default_rng(1))
        predicted = estimated.latency_ms(space, genes)
        truth = tables["is"].latency_ms(space, genes)
        assert np.median(np.abs(predicted / truth - 1)) < 0.15
        interval = estimated.interval_ms(space, genes)
        assert ((interval.low_ms < truth) & (truth < interval.high_ms)).mean() > 0.9

    def test_measured_rows_stay_and_the_others_say_what_they_are(self, estimated, measured):
        for key, row in estimated.rows.items():
            if key in measured.rows:
                assert row == measured.rows[key]
            else:
                assert (row.source, row.verdict, row.samples) == ("estimated", "noisy", 12)
                assert "estimated from 12" in row.reason
                assert row.low_ms < row.p10_ms < row.median_ms < row.p90_ms < row.high_ms

    def test_the_table_says_that_it_is_estimated_and_from_what(self, estimated):
        assert estimated.shared("source") == "estimated"
        assert estimated.header.made["estimated_from"] == "array-ws, array-os"
        assert estimated.header.made["probes"] == 12

    def test_its_file_keeps_measured_and_estimated_apart(self, estimated, tmp_path):
        write_table(estimated, tmp_path / "table.tsv")
        assert read_table(tmp_path / "table.tsv") == estimated

    def test_measured_rows_win_when_it_is_merged_with_them(self, estimated, tables):
        merged = merge(estimated, tables["is"]).table
        assert merged.rows == tables["is"].rows
        assert merged.shared("source") != "estimated"

    def test_a_second_estimate_uses_no_estimates(self, estimator, estimated):
        again = estimator.estimate(estimated)
        assert again.rows == estimated.rows

    def test_many_measured_rows_stay_though_not_all_are_probes(
        self, estimator, tables, monkeypatch
    ):
        monkeypatch.setattr("metanas.profiling.estimate.table.MOST_PROBES", 20)
        table = tables["is"]
        many = dict(list(table.rows.items())[:-2])
        estimated = estimator.estimate(LatencyTable(table.header, many))
        assert {key: estimated.rows[key] for key in many} == many
        assert len(estimated.rows) == len(table.rows)
        assert estimated.header.made["probes"] == 20

    def test_when_all_is_measured_nothing_is_estimated(self, estimator, tables):
        assert estimator.estimate(tables["is"]).rows == tables["is"].rows


class TestRefused:
    def test_no_other_tables(self, space):
        with pytest.raises(TableMismatchError, match="nothing to estimate from"):
            Estimator(space, [])

    def test_two_tables_of_one_device(self, space, tables):
        with pytest.raises(TableMismatchError, match="array-ws, array-ws"):
            Estimator(space, [tables["ws"], tables["ws"]])

    def test_a_table_that_is_itself_estimated(self, space, estimated):
        with pytest.raises(TableMismatchError, match="only 12 simulated rows"):
            Estimator(space, [estimated])

    def test_emulated_tables_and_probes(self, space, tables, estimator, measured):
        with pytest.raises(EmulatedTableError, match="array-ws"):
            Estimator(space, [of_source(tables["ws"], "emulated")])
        with pytest.raises(EmulatedTableError, match="array-is"):
            estimator.estimate(of_source(measured, "emulated"))

    def test_too_few_probes_or_no_call(self, estimator, measured):
        rows = list(measured.rows.items())
        with pytest.raises(MissingRowsError, match="only 4 layers"):
            estimator.estimate(LatencyTable(measured.header, dict(rows[:5])))
        with pytest.raises(MissingRowsError, match=CALL.key):
            estimator.estimate(LatencyTable(measured.header, dict(rows[1:])))

    def test_throttled_rows_are_no_probes(self, estimator, measured):
        throttled = {
            key: row if key == CALL.key else replace(row, verdict="throttled", reason="hot")
            for key, row in measured.rows.items()
        }
        with pytest.raises(MissingRowsError, match="only 0 layers"):
            estimator.estimate(LatencyTable(measured.header, throttled))


class TestReplacing:
    def test_uncertain_rows_give_way_to_measured_ones(self, estimated, tables, space):
        layers = space.layers(space.largest())
        asked = uncertain(estimated, layers)
        assert asked
        assert {layer.key for layer in asked} <= {layer.key for layer in layers}
        some = {layer.key: tables["is"].rows[layer.key] for layer in asked}
        better = replace_estimated(estimated, LatencyTable(tables["is"].header, some))
        assert not uncertain(better, layers)
        changed = [key for key, row in better.rows.items() if row != estimated.rows[key]]
        assert set(changed) == set(some)
        assert list(better.rows) == list(estimated.rows)
        assert better.shared("source") == "estimated"

    def test_measured_rows_are_not_uncertain(self, tables, space):
        assert not uncertain(tables["is"], space.all_layers)

    def test_rows_of_another_device_are_refused(self, estimated, tables):
        with pytest.raises(TableMismatchError, match=r"array-is .* array-os"):
            replace_estimated(estimated, tables["os"])

    def test_throttled_rows_do_not_replace(self, estimated, tables):
        rows = {
            key: dataclasses.replace(row, verdict="throttled", reason="hot")
            for key, row in tables["is"].rows.items()
        }
        same = replace_estimated(estimated, LatencyTable(tables["is"].header, rows))
        assert same.rows == estimated.rows


def test_layers_that_take_no_time_tell_nothing_and_stay(estimator, tables, space):
    """As additions do in a simulator that does not know of them."""
    table = tables["is"]
    free = space.all_layers[0].key
    times = dict.fromkeys(("median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms"), 0.0)
    rows = {key: table.rows[key] for key in list(table.rows)[:20]}
    rows[free] = replace(rows[free], **times)
    estimated = estimator.estimate(LatencyTable(table.header, rows))
    assert estimated.rows[free].median_ms == 0
    assert estimated.header.made["probes"] == 18
    everything = estimator.choose_probes(10_000, LatencyTable(table.header, rows))
    assert len(everything) == len(space.all_layers) - 19
    others = Estimator(space, [LatencyTable(tables["ws"].header, {**tables["ws"].rows, **rows})])
    assert len(others.choose_probes(5)) == 5
