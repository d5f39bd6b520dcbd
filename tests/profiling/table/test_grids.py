from statistics import median

import pytest

from metanas.profiling import grids, profile
from metanas.spaces import CellsSpace, ResNet12Space
from metanas.spaces.cells import CELL_OPERATIONS
from metanas_agent.layers import (
    AddLayer,
    ConvLayer,
    EmptyLayer,
    HeadLayer,
    OperationLayer,
    parse_layer,
)
from metanas_agent.timer import TimerSettings


@pytest.fixture
def residual(device, tmp_path):
    space = ResNet12Space(input_shape=(1, 8, 8), ways=5, global_expansion=False)
    return profile(device, space, TimerSettings(), tmp_path / "residual.tsv")


def medians(table, kind, chosen):
    """By another way: of the rows whose layer is of a kind and meets a condition."""
    layers = {key: parse_layer(key) for key in table.rows}
    return [
        row.median_ms
        for key, row in table.rows.items()
        if isinstance(layers[key], kind) and chosen(layers[key])
    ]


def test_a_cell_is_the_median_over_activations(table):
    for grid in grids(table):
        if grid.kind.endswith("convolution"):
            for (inward, outward), ms in grid.cells.items():
                wanted = (f"{grid.kind[0]}x", grid.side[0], inward, outward)
                found = medians(
                    table,
                    ConvLayer,
                    lambda la, w=wanted: (
                        (f"{la.kernel}x", la.height, la.in_channels, la.out_channels) == w
                    ),
                )
                assert len(found) == 6
                assert ms == pytest.approx(median(found))


def test_sums_stand_by_channels_and_activation(residual):
    (first, *_), *_ = ([g for g in grids(residual) if g.kind == "sum"],)
    assert first.title == "sum at 8x8, pool 2"
    assert first.axes == ("channels", "activation")
    assert first.rows == [32]
    assert first.columns == ["relu", "elu", "selu", "sigmoid", "relu6", "leakyrelu"]
    for activation in first.columns:
        (ms,) = medians(
            residual, AddLayer, lambda la, a=activation: (la.height, la.activation) == (8, a)
        )
        assert first.cells[32, activation] == ms


def test_operations_of_cells_stand_by_name_and_channels(table, with_rows, scale):
    space = CellsSpace(input_shape=(1, 8, 8), ways=5, channels=4)
    row = next(iter(table.rows.values()))
    rows = [scale(row, factor, key=la.key) for factor, la in enumerate(space.all_layers, 1)]
    table = with_rows(table, rows)
    found = {grid.title: grid for grid in grids(table)}
    assert sum(len(grid.cells) for grid in found.values()) == len(space.all_layers)
    grid = found["operation at 8x8, stride 2"]
    assert grid.axes == ("operation", "channels")
    assert (grid.columns, set(grid.rows)) == (
        ["4 to 4", "12 to 4"],
        {"halves1x1", *CELL_OPERATIONS} - {"skip"},
    )
    layer = OperationLayer(4, 8, 8, out_channels=4, operation="dilconv3x3", stride=2)
    assert grid.cells["dilconv3x3", "4 to 4"] == table.rows[layer.key].median_ms
    assert found["join at 8x8, 3 maps"].cells.keys() == {(4, 12)}


def test_every_row_but_empty_graphs_stands_in_a_grid(residual):
    layers = [parse_layer(key) for key in residual.rows]
    places = {
        (type(la), la.height, getattr(la, "kernel", 0), la.in_channels, str(la.output_shape))
        + ((la.activation,) if isinstance(la, AddLayer) else ())
        for la in layers
        if not isinstance(la, EmptyLayer)
    }
    assert sum(len(grid.cells) for grid in grids(residual)) == len(places)
    assert {grid.kind for grid in grids(residual)} == {
        *("1x1 convolution", "3x3 convolution", "5x5 convolution"),
        *("sum", "head"),
    }
    assert any(isinstance(layer, HeadLayer) for layer in layers)
