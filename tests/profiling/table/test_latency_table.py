import dataclasses

import numpy as np
import pytest

from metanas.errors import MissingRowsError, TableMismatchError
from metanas.profiling import CALL, Calibration, LatencyTable
from metanas.spaces import VGG9Space
from metanas_agent.layers import EmptyLayer
from metanas_agent.timer import TimerSettings


def noisy_rows(table, rng, *, call_ms=0.002):
    """The table's rows with a call's overhead and an interval around each."""
    for row in table.rows.values():
        median = row.median_ms + call_ms
        low, high = median * (1 - 0.1 * rng.random()), median * (1 + 0.1 * rng.random())
        yield dataclasses.replace(row, median_ms=median, low_ms=low, high_ms=high)


@pytest.fixture
def measured(table, with_rows):
    return with_rows(table, noisy_rows(table, np.random.default_rng(0)))


def test_predicts_the_call_once_and_each_layers_own_time(measured, space):
    genes = space.sample(30, np.random.default_rng(1))
    call_ms = measured.rows[CALL.key].median_ms
    for row, latency_ms in zip(genes, measured.latency_ms(space, genes), strict=True):
        layers = space.layers(space.from_genes(row))
        own = [max(measured.rows[layer.key].median_ms - call_ms, 0) for layer in layers]
        assert latency_ms == pytest.approx(call_ms + sum(own))
        assert own == [measured.layer_ms(layer) for layer in layers]


def test_a_layer_never_takes_less_than_nothing(measured, with_rows, space):
    slow_call = with_rows(
        measured,
        [
            dataclasses.replace(row, median_ms=1e6, high_ms=1e6) if key == CALL.key else row
            for key, row in measured.rows.items()
        ],
    )
    genes = space.sample(3, np.random.default_rng(1))
    assert slow_call.latency_ms(space, genes) == pytest.approx([1e6] * 3)


def test_the_interval_holds_the_prediction(measured, space):
    genes = space.sample(1000, np.random.default_rng(1))
    low_ms, high_ms = measured.interval_ms(space, genes)
    latency_ms = measured.latency_ms(space, genes)
    assert (low_ms < latency_ms).all()
    assert (latency_ms < high_ms).all()
    assert (high_ms < 1.6 * latency_ms).all()


def test_a_simulated_network_takes_the_sum_of_its_layers(table, device, space):
    genes = space.sample(20, np.random.default_rng(1))
    sums = [
        sum(
            measurement.median_ms
            for measurement in device.measure(space.layers(space.from_genes(row)), TimerSettings())
        )
        for row in genes
    ]
    assert table.latency_ms(space, genes) == pytest.approx(sums, rel=1e-5)


def test_costs_are_aligned_to_the_space(measured, space):
    costs_ms = measured.costs_ms(space)
    assert costs_ms.tolist() == [measured.layer_ms(layer) for layer in space.all_layers]
    cheapest = space.encode([space.cheapest(costs_ms)])
    others = measured.latency_ms(space, space.sample(500, np.random.default_rng(1)))
    assert measured.latency_ms(space, cheapest)[0] <= others.min()


def test_parameters_may_cost_time(measured, space):
    calibration = Calibration(2.0, 0.5, 20, 0.01, 0.02, ms_per_mb=3.0)
    table = LatencyTable(
        dataclasses.replace(measured.header, calibration=calibration), measured.rows
    )
    genes = space.sample(5, np.random.default_rng(1))
    loading_ms = 3.0 * space.size_bytes(genes) / 1e6
    expected_ms = 2 * measured.latency_ms(space, genes) + 0.5 + loading_ms
    assert table.latency_ms(space, genes) == pytest.approx(expected_ms)
    layer_sums_ms = [
        table.call_ms + sum(map(table.layer_ms, space.layers(space.from_genes(row))))
        for row in genes
    ]
    assert layer_sums_ms == pytest.approx(expected_ms)
    costs_ms = table.call_ms + space.sum_over_layers(genes, table.costs_ms(space))
    assert costs_ms == pytest.approx(expected_ms)
    assert (table.interval_ms(space, genes).low_ms < expected_ms).all()
    assert table.uncalibrated == measured


def test_changing_the_costs_does_not_change_the_table(measured, space):
    genes = space.sample(5, np.random.default_rng(1))
    before = measured.latency_ms(space, genes)
    measured.costs_ms(space)[:] = 0
    assert np.array_equal(measured.latency_ms(space, genes), before)


def test_one_table_serves_every_space_whose_layers_it_has(table, space):
    deep = VGG9Space(input_shape=(1, 12, 12), ways=5, global_expansion=False, adaptive_depth=False)
    genes = deep.sample(10, np.random.default_rng(1))
    architectures = [deep.from_genes(row) for row in genes]
    predicted = table.latency_ms(space, space.encode(architectures))
    assert np.array_equal(table.latency_ms(deep, genes), predicted)


def test_a_missing_row_is_an_error_that_names_it(table, with_rows, space):
    architecture = space.parse("k3c64relu-k5c64elu")
    absent = space.layers(architecture)[1].key
    partial = with_rows(table, [row for key, row in table.rows.items() if key != absent])
    with pytest.raises(MissingRowsError, match="lacks 1 rows") as caught:
        partial.latency_ms(space, space.encode([architecture]))
    assert absent in str(caught.value)
    with pytest.raises(MissingRowsError, match="lacks 1 rows"):
        partial.costs_ms(space)
    with pytest.raises(MissingRowsError):
        partial.layer_ms(space.layers(architecture)[1])


def test_only_rows_that_are_needed_must_be_there(table, with_rows, space):
    architecture = space.parse("k3c64relu")
    needed = {CALL.key, *(layer.key for layer in space.layers(architecture))}
    small = with_rows(table, [table.rows[key] for key in needed])
    genes = space.encode([architecture])
    assert small.latency_ms(space, genes) == table.latency_ms(space, genes)


def test_many_missing_rows_are_counted(table, with_rows, space):
    empty = with_rows(table, [table.rows[CALL.key]])
    with pytest.raises(MissingRowsError, match=r"lacks \d+ rows: conv/.* and \d+ more"):
        empty.latency_ms(space, space.sample(50, np.random.default_rng(1)))


def test_without_the_calls_row_nothing_is_predicted(table, with_rows, space):
    headless = with_rows(table, [row for key, row in table.rows.items() if key != CALL.key])
    with pytest.raises(MissingRowsError, match=CALL.key):
        headless.latency_ms(space, space.sample(1, np.random.default_rng(1)))


def test_a_throttled_row_is_no_row(table, with_rows, space):
    architecture = space.parse("k3c64relu")
    hot = space.layers(architecture)[0].key
    throttled = with_rows(
        table,
        [
            dataclasses.replace(row, verdict="throttled") if key == hot else row
            for key, row in table.rows.items()
        ],
    )
    with pytest.raises(MissingRowsError, match=rf"1 of them measured while throttled\): {hot}"):
        throttled.latency_ms(space, space.encode([architecture]))
    with pytest.raises(MissingRowsError, match="throttled"):
        throttled.row(space.layers(architecture)[0])


@pytest.mark.parametrize(
    ("name", "value"),
    [("source", "measured"), ("runtime", "onnx"), ("runtime_version", "9"), ("method", 99)],
)
def test_rows_of_one_table_are_made_alike(table, with_rows, name, value):
    odd, *others = table.rows.values()
    with pytest.raises(TableMismatchError, match=name):
        with_rows(table, [dataclasses.replace(odd, **{name: value}), *others])


def test_a_hundred_thousand_architectures_at_once(table, space):
    genes = space.sample(100_000, np.random.default_rng(1))
    latency_ms = table.latency_ms(space, genes)
    assert latency_ms.shape == (100_000,)
    assert (latency_ms > 0).all()


def test_no_architectures_take_no_time(table, space):
    assert table.latency_ms(space, space.encode([])).shape == (0,)


def test_a_layer_of_no_space_is_missing(table):
    with pytest.raises(MissingRowsError, match="empty/9x9x9"):
        table.row(EmptyLayer(9, 9, 9))
