from functools import partial

import pytest

from metanas.devices import profiles_folder
from support.metanas_command import run_metanas
from support.profile_command import ended


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs `metanas`; its exit code, and what it printed on both streams."""
    return partial(run_metanas, monkeypatch, capsys)


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs `metanas-profile`; its exit code, and what it printed on both streams."""

    def call(*arguments):
        code = ended(monkeypatch, *arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture
def own_devices(tmp_path, monkeypatch):
    """A user who has nothing yet, at a wide terminal; the folder of their own devices' profiles."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("os.fsync", lambda _: None)
    devices = tmp_path / "config" / "metanas" / "devices"
    devices.mkdir(parents=True)
    return devices


@pytest.fixture
def twin(own_devices):
    """A second simulator, of that name."""
    eyeriss = profiles_folder() / "devices" / "eyeriss.toml"
    (own_devices / "twin.toml").write_bytes(eyeriss.read_bytes())
