import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas_agent.errors import InvalidMeasurementError
from metanas_agent.measurement import METHOD_VERSION, Measurement
from support.any_message import measurements


def plain(**changes):
    values = {
        "key": "empty/1x1x1",
        "median_ms": 2.0,
        "low_ms": 1.9,
        "high_ms": 2.2,
        "p10_ms": 1.8,
        "p90_ms": 2.5,
        "samples": 11,
        "repeats": 3,
        "source": "measured",
        "runtime": "onnx",
        "runtime_version": "1.0",
    }
    return {**values, **changes}


@given(measurements())
def test_goes_through_json(measurement):
    sent = json.dumps(measurement.to_dict(), allow_nan=False)
    assert Measurement.from_dict(json.loads(sent)) == measurement


@pytest.mark.parametrize("name", ["median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms"])
@pytest.mark.parametrize(
    "value",
    [-1e-9, float("nan"), float("inf"), "2.0", None, [], True, pytest.param(10**400, id="huge")],
)
def test_refuses_impossible_times(name, value):
    with pytest.raises(InvalidMeasurementError, match=name):
        Measurement.from_dict(plain(**{name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("samples", 0),
        ("samples", 1.0),
        ("samples", True),
        ("repeats", -1),
        ("method", 0),
        ("key", None),
        ("runtime", 3),
        ("runtime_version", None),
        ("reason", None),
        ("clock_mhz_before", float("nan")),
        ("clock_mhz_after", "fast"),
        ("temperature_c_before", float("inf")),
        ("temperature_c_after", "hot"),
        ("throttled_before", 1.5),
        ("throttled_after", True),
        ("governor", ""),
        ("governor", 3),
        ("energy_mj", -1.0),
        ("verdict", "fine"),
        ("verdict", []),
        ("source", "guessed"),
        ("source", {}),
    ],
)
def test_refuses_impossible_values(name, value):
    with pytest.raises(InvalidMeasurementError, match=name):
        Measurement.from_dict(plain(**{name: value}))


@pytest.mark.parametrize("median_ms", [1.8, 2.3])
def test_the_median_lies_in_its_interval(median_ms):
    with pytest.raises(InvalidMeasurementError, match="median_ms"):
        Measurement.from_dict(plain(median_ms=median_ms))


@pytest.mark.parametrize("name", list(plain()))
def test_refuses_an_incomplete_measurement(name):
    values = plain()
    del values[name]
    with pytest.raises(InvalidMeasurementError, match=name):
        Measurement.from_dict(values)


def test_refuses_unknown_fields():
    with pytest.raises(InvalidMeasurementError, match="colour"):
        Measurement.from_dict(plain(colour="red"))


@given(
    st.recursive(st.none() | st.integers() | st.text(), st.lists)
    | st.dictionaries(st.text() | st.integers(), st.integers())
)
def test_refuses_anything_else(values):
    with pytest.raises(InvalidMeasurementError):
        Measurement.from_dict(values)


def test_relative_interval_is_half_of_it():
    assert Measurement(**plain()).relative_interval == pytest.approx(0.15 / 2.0)
    nothing = plain(median_ms=0.0, low_ms=0.0, high_ms=0.0)
    assert Measurement(**nothing).relative_interval == 0.0


def test_says_which_method_timed_it():
    assert Measurement(**plain()).method == METHOD_VERSION
    assert "method" in {field.name for field in dataclasses.fields(Measurement)}


@given(measurements())
def test_what_protocol_1_knows_is_told_in_its_words(measurement):
    values = measurement.to_protocol_1()
    assert not {"governor", "temperature_c_after", "throttled_before", "energy_mj"} & set(values)
    assert Measurement.from_dict(values) == dataclasses.replace(
        measurement,
        governor=None,
        temperature_c_before=None,
        throttled_before=None,
        energy_mj=None,
    )


def test_reads_a_row_of_an_older_agent():
    old = plain(temperature_c=48.5, throttled=0x50000, clock_mhz_before=None, method=1)
    row = Measurement.from_dict(old)
    assert (row.temperature_c_after, row.throttled_after) == (48.5, 0x50000)
    assert (row.temperature_c_before, row.governor, row.method) == (None, None, 1)


def test_what_is_not_known_is_left_out():
    assert "temperature_c_before" not in Measurement(**plain()).to_dict()
    assert Measurement(**plain(energy_mj=0.5)).to_dict()["energy_mj"] == 0.5
