"""`metanas-profile devices`, as a person and as a script read it."""

import json
import sys

import pytest

from metanas.cli import profile as command
from metanas.cli.shell import printable
from support.paired_boards import OTHER_ID, pair_by_hand, paired_board


@pytest.fixture
def listed(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        argv = ["metanas-profile", "devices", "--timeout-s", "0.3", *arguments]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as exited:
            command.main()
        assert exited.value.code == 0
        return capsys.readouterr()

    return call


def test_scripts_get_everything(listed, tmp_path):
    pair_by_hand(tmp_path / "attic", name="attic", identifier=OTHER_ID)
    with paired_board(tmp_path / "board") as (_, board):
        entries = json.loads(listed("--json").out)["entries"]
    known = {entry["name"]: entry for entry in entries if entry["kind"] != "stranger"}
    assert known.keys() == {
        "attic",
        "eyeriss",
        "eyeriss-rs",
        "local",
        "local-cuda",
        "local-native",
        "pi0",
    }
    pi0 = known["pi0"]
    assert (pi0["id"], pi0["where"], pi0["state"]) == (board.id, board.address, "free")
    assert pi0["paired"] is True
    assert pi0["runtimes"] == ["onnx"]
    assert pi0["agent_version"]
    assert known["attic"]["state"] == "unreachable"
    assert known["local"]["paired"] is False


def test_people_get_a_table(listed, tmp_path):
    with paired_board(tmp_path / "board") as (_, board):
        printed = listed()
    (line,) = [line for line in printed.out.splitlines() if board.address in line]
    for word in ("pi0", board.id[:8], "onnx", "yes", "free"):
        assert word in line
    assert "architecture" in printed.out
    assert "simulated" in printed.out


def test_a_board_at_work_is_busy(listed, tmp_path):
    from contextlib import closing

    from metanas.devices import open_device
    from metanas_agent.layers import ConvLayer
    from metanas_agent.timer import TimerSettings

    layer = ConvLayer(1, 8, 8, out_channels=4, kernel=3, activation="relu", pool=1)
    with paired_board(tmp_path / "board"), closing(open_device("pi0")) as device:
        rows = device.measure([layer] * 10_000, TimerSettings(budget_ms=20.0))
        next(rows)
        entries = json.loads(listed("--json").out)["entries"]
        (pi0,) = [e for e in entries if (e["name"], e["kind"]) == ("pi0", "board")]
        rows.close()
    assert pi0["state"] == "busy"
    assert pi0["detail"].startswith("works for ")


def test_a_name_cannot_play_with_the_terminal(listed, tmp_path):
    folder = tmp_path / "config" / "metanas" / "devices"
    folder.mkdir(parents=True)
    (folder / "red\x1b[31m.toml").write_text("kind = 3")
    printed = listed()
    assert "\x1b" not in printed.out
    assert "red\\x1b[31m" in printed.out
    assert "broken file" in printed.out


@pytest.fixture
def mine(tmp_path):
    """Write a file among the user's own devices."""
    folder = tmp_path / "config" / "metanas" / "devices"
    folder.mkdir(parents=True)

    def write(name, text):
        (folder / f"{name}.toml").write_text(text)
        return folder / f"{name}.toml"

    return write


def states(printed):
    entries = json.loads(printed.out)["entries"]
    return {entry["name"]: (entry["state"], entry["detail"]) for entry in entries}


def test_a_file_of_a_device_that_cannot_be_is_broken(listed, mine):
    array = (
        'kind = "simulator"\nbackend = "systolic"\ncolumns = 4\nclock_mhz = 9\ndataflow = "ws"\n'
    )
    mine("negative", f"{array}rows = -1\n")
    mine("possible", f"{array}rows = 4\n")
    mine("abacus", 'kind = "local"\nruntime = "abacus"')
    found = states(listed("--json"))
    assert found["negative"] == ("broken", "device negative: rows is -1")
    assert found["possible"] == ("free", "")
    assert found["abacus"] == ("broken", "runtime is 'abacus'")
    (line,) = [line for line in listed().out.splitlines() if line.strip().startswith("negative  ")]
    assert line.split() == ["negative", "broken", "file"]


def test_what_this_machine_lacks_is_told(listed, monkeypatch):
    monkeypatch.setattr("metanas.devices.lacking.find_spec", lambda name: None)
    found = states(listed("--json"))
    assert found["local-native"] == (
        "unavailable",
        "TVM is not installed: pip install 'metanas[native]'",
    )
    assert found["local"][0] == found["local-cuda"][0] == "unavailable"


def test_a_gpu_that_is_not_there_is_told(listed, monkeypatch):
    monkeypatch.setattr("metanas.devices.lacking._GPU_DRIVERS", ("no-such-driver*",))
    monkeypatch.setattr("metanas.devices.lacking.sys.platform", "linux")
    monkeypatch.setattr("metanas.devices.lacking.find_spec", lambda name: name)
    found = states(listed("--json"))
    assert found["local-cuda"] == ("unavailable", "no NVIDIA GPU, or none that its driver shows")
    assert found["local"] == found["local-native"] == ("free", "")


@pytest.mark.parametrize(
    ("version", "state"), [("2.13.0+cpu", "unavailable"), ("2.13.0+cu130", "free")]
)
def test_a_torch_without_cuda_is_told(listed, monkeypatch, version, state):
    monkeypatch.setattr("metanas.devices.lacking._GPU_DRIVERS", ("null",))
    monkeypatch.setattr("metanas.devices.lacking.find_spec", lambda name: name)
    monkeypatch.setattr("metanas.devices.lacking.metadata.version", lambda name: version)
    assert states(listed("--json"))["local-cuda"][0] == state


def test_a_device_that_the_user_replaced_is_told(listed, mine):
    own = mine("eyeriss", 'kind = "local"')
    assert (
        f"as {own} says, in place of what metanas brings" in states(listed("--json"))["eyeriss"][1]
    )
    assert "in place of" not in states(listed("--json"))["local"][1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Küche 0", "Küche 0"),
        ("a\nb", "a\nb"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("pi\u202e0\r", "pi\\u202e0\\r"),
        ("\x9b31m", "\\x9b31m"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_could_obey_is_written_out(text, shown):
    assert printable(text) == shown
