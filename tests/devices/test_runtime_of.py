"""What runs on a device, by its name alone: nobody is asked."""

from __future__ import annotations

import pytest

from metanas.devices import runtime_of
from metanas.errors import DeviceProfileError, UnknownDeviceError, UnsupportedError
from support.paired_boards import pair_by_hand


@pytest.fixture
def state(monkeypatch, tmp_path):
    """A user without devices, and the folder of a board."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "board"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("local", ("onnx", "")),
        ("local-native", ("native", "x86-64")),
        ("pi0", ("native", "armv6")),
        ("pi4", ("onnx", "aarch64")),
        ("pi4-32", ("native", "armv7")),
        ("gpu-host", ("torch", "")),
        ("127.0.0.1:9", ("onnx", "")),
    ],
)
def test_profiles_say_it(state, name, expected):
    assert runtime_of(name) == expected


@pytest.mark.parametrize(
    ("profile", "expected"), [("pi0", ("native", "armv6")), ("", ("onnx", ""))]
)
def test_a_paired_board_has_what_its_profile_says(state, profile, expected):
    pair_by_hand(state, name="kitchen", profile=profile)
    assert runtime_of("kitchen") == expected


def test_a_board_that_was_paired_as_something_else_is_refused(state):
    pair_by_hand(state, name="kitchen", profile="local")
    with pytest.raises(DeviceProfileError, match="no kind of board"):
        runtime_of("kitchen")


def test_a_simulator_runs_no_networks(state):
    with pytest.raises(UnsupportedError, match="eyeriss is simulated"):
        runtime_of("eyeriss")


def test_an_unknown_name_is_refused(state):
    with pytest.raises(UnknownDeviceError, match="unknown device 'nonesuch'"):
        runtime_of("nonesuch")
