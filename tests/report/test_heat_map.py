import pytest
from PIL import Image

from metanas.errors import TableError
from metanas.profiling import LatencyTable, profile
from metanas.report.heat_map import heat_map, write_heat_map
from metanas.spaces import ResNet12Space
from metanas_agent.timer import TimerSettings
from metanas_simulators import make_simulator


@pytest.fixture(scope="module")
def residual(tmp_path_factory):
    array = {"rows": 4, "columns": 4, "clock_mhz": 100, "dataflow": "os"}
    device = make_simulator("toy", {"backend": "systolic", **array})
    space = ResNet12Space(input_shape=(1, 8, 8), ways=5, global_expansion=False)
    path = tmp_path_factory.mktemp("tables") / "toy.tsv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        return profile(device, space, TimerSettings(), path)


def test_convolutions_and_sums_are_drawn(residual):
    drawn = heat_map(residual)
    for title in ("1x1 convolution, 8x8", "5x5 convolution, 1x1", "sum, 8x8", "sum, 1x1"):
        assert title in drawn
    for label in ("leakyrelu", "channels in", "activation"):
        assert label in drawn


def test_draws_a_picture(residual, tmp_path):
    path = tmp_path / "table.png"
    write_heat_map(residual, path)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 20
    assert [file.name for file in tmp_path.iterdir()] == ["table.png"]


def test_nothing_to_draw_is_said(residual, tmp_path):
    empty = LatencyTable(residual.header, {})
    assert heat_map(empty) == ""
    with pytest.raises(TableError, match="no convolutions and no sums"):
        write_heat_map(empty, tmp_path / "table.png")
    assert not list(tmp_path.iterdir())
