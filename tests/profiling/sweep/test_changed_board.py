"""A board that answers as another one mixes no rows."""

import dataclasses

import pytest

from metanas.errors import DeviceError
from metanas.profiling import profile, read_table
from metanas_agent.timer import TimerSettings

SETTINGS = TimerSettings()

pytestmark = pytest.mark.usefixtures("small_batches")


def test_an_answer_to_another_question_is_refused(weathered, device, space, out):
    def weather(count, row):
        return dataclasses.replace(row, key="empty/7x7x7") if count == 5 else row

    with pytest.raises(DeviceError, match="answered empty/7x7x7"):
        profile(weathered(device, weather=weather), space, SETTINGS, out)


def test_a_runtime_that_failed_its_probe_begins_no_sweep(weathered, device, space, out, journal):
    """The rows would stand below a header that denies what measured them."""
    board = weathered(device, weather=lambda _, row: dataclasses.replace(row, runtime="onnx"))
    with pytest.raises(DeviceError, match=r"measured with onnx.*did not name"):
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
