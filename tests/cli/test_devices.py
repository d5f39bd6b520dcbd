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


def test_people_get_a_table_on_standard_error(listed, tmp_path):
    with paired_board(tmp_path / "board") as (_, board):
        printed = listed()
    assert printed.out == ""
    (line,) = [line for line in printed.err.splitlines() if board.address in line]
    for word in ("pi0", board.id[:8], "onnx", "yes", "free"):
        assert word in line
    assert "architecture" in printed.err
    assert "simulated" in printed.err


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
    assert "\x1b" not in printed.err
    assert "red\\x1b[31m" in printed.err
    assert "broken" in printed.err


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
