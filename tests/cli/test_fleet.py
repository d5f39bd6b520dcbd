"""Several devices side by side: what succeeds is kept, what fails is said, Ctrl-C stops all."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from metanas.cli import fleet
from metanas.errors import AgentUnreachableError, MeasurementFailedError, UnknownDeviceError
from metanas.profiling import read_table
from metanas_agent.layers import ConvLayer
from metanas_agent.timer import TimerSettings
from support.identities import BOARD_ID
from support.paired_boards import OTHER_ID, pair_by_hand, paired_board

SMALL = ("--input", "1x9x9", "--ways", "2")
LAYERS = [ConvLayer(1, 8, 8, out_channels=n, kernel=3, activation="relu", pool=1) for n in (4, 8)]
TIMER = TimerSettings(budget_ms=1.0, min_samples=3)
NOWHERE = "127.0.0.1:9"


@pytest.fixture(autouse=True)
def two_simulators(twin, monkeypatch):
    """At a terminal that is wide enough for both."""
    monkeypatch.setenv("COLUMNS", "200")


def measured(device, advance):
    """Two layers' keys, and a bar that shows them."""
    keys = []
    for row in device.measure(LAYERS, TIMER):
        keys.append(row.key)
        advance(len(keys), total=len(LAYERS))
    return keys


def test_each_device_gets_its_table(run, tmp_path):
    code, out, err = run("--device", "eyeriss,twin", "--out", tmp_path, *SMALL, "--json")
    assert code == 0, err
    found = {entry["device"]: entry for entry in json.loads(out)}
    assert list(found) == ["eyeriss", "twin"]
    for name, entry in found.items():
        table = read_table(tmp_path / f"{name}-vgg9-1x9x9-2way.simulated.tsv")
        assert entry["rows"] == len(table.rows)
        assert table.header.device.name == name
    assert err.count("done") >= 2


def test_one_that_fails_does_not_stop_the_others(run, tmp_path):
    names = f"{NOWHERE},eyeriss,nothing"
    code, out, err = run("--device", names, "--out", tmp_path, *SMALL)
    assert (code, out) == (1, "")
    assert len(list(tmp_path.glob("eyeriss*.tsv"))) == 1
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert [error[:30] for error in errors] == [
        f"error: {NOWHERE}: no agent answers"[:30],
        "error: nothing: unknown device 'nothing'"[:30],
    ]
    assert "Traceback" not in err
    code, out, _ = run("--device", names, "--out", tmp_path, *SMALL, "--json")
    assert code == 1
    table, *failures = json.loads(out)
    assert table["device"] == "eyeriss"
    assert [failure["device"] for failure in failures] == [NOWHERE, "nothing"]
    assert "no agent answers" in failures[0]["error"]


def test_ctrl_c_stops_all_and_keeps_what_was_timed(run, tmp_path):
    arguments = ["--device", "eyeriss,twin", "--out", str(tmp_path)]
    journals = [
        tmp_path / f"{name}-vgg9-1x28x28-5way.simulated.tsv.journal.jsonl"
        for name in ("eyeriss", "twin")
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "metanas.cli.profile", *arguments], stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while not all(j.exists() and j.read_bytes().count(b"\n") > 20 for j in journals):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert "the same command goes on from here" in err
    assert "Traceback" not in err
    kept = [journal.read_bytes().rpartition(b"\n")[0] for journal in journals]
    assert all(kept)
    assert run(*arguments, "--budget-ms", 7)[0] == 1
    assert [j.read_bytes().startswith(k) for j, k in zip(journals, kept, strict=True)] == [True] * 2
    assert run(*arguments)[0] == 0
    assert not any(journal.exists() for journal in journals)


def test_all_is_every_paired_board_that_answers(tmp_path, capsys):
    pair_by_hand(tmp_path / "attic", name="attic", identifier="00" * 8, address=NOWHERE)
    with (
        paired_board(tmp_path / "one", name="one"),
        paired_board(tmp_path / "two", name="two", identifier=OTHER_ID),
    ):
        names = fleet.fleet_names("all")
        assert names == ("one", "two")
        results = fleet.run_fleet(names, measured)
    assert results == {name: [layer.key for layer in LAYERS] for name in names}
    assert "do not answer: attic" in capsys.readouterr().err


def test_a_board_is_not_opened_twice(tmp_path):
    pair_by_hand(tmp_path / "board")
    assert fleet.fleet_names(f"pi0, {BOARD_ID},,pi0@{BOARD_ID[:5]}") == ("pi0",)
    assert fleet.fleet_names("eyeriss,twin,eyeriss") == ("eyeriss", "twin")


@pytest.mark.parametrize("text", ["all", ",", " "])
def test_no_device_is_an_error(text):
    with pytest.raises(UnknownDeviceError):
        fleet.fleet_names(text)


def test_all_needs_one_that_answers(run, tmp_path):
    pair_by_hand(tmp_path / "attic", name="attic", address=NOWHERE)
    code, _, err = run("--device", "all")
    assert code == 1
    assert "error: none of the paired boards answers: attic" in err


def test_two_of_one_name_must_be_told_apart(run, tmp_path):
    pair_by_hand(tmp_path / "one")
    pair_by_hand(tmp_path / "two", identifier=OTHER_ID)
    code, _, err = run("--device", "eyeriss,pi0", *SMALL)
    assert code == 1
    assert f"2 paired boards are named 'pi0': {BOARD_ID}, {OTHER_ID}" in err


def test_a_failure_of_ours_is_not_hidden():
    def broken(device, advance):
        if device.name == "twin":
            raise ZeroDivisionError
        raise MeasurementFailedError("as it happens")

    with pytest.raises(ZeroDivisionError):
        fleet.run_fleet(["eyeriss", "twin"], broken)
    failure = fleet.run_fleet(["eyeriss"], broken)["eyeriss"]
    assert isinstance(failure, MeasurementFailedError)


def test_ctrl_c_reaches_a_board_that_is_lost(tmp_path):
    """One board has died and is waited for, the other works; both end at once."""
    working = threading.Event()

    def work(device, advance):
        while True:
            measured(device, advance)
            working.set()

    with paired_board(tmp_path / "one") as (agent, _):

        def kill_and_interrupt():
            assert working.wait(60)
            agent.kill()
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGINT)

        killer = threading.Thread(target=kill_and_interrupt)
        killer.start()
        with pytest.raises(KeyboardInterrupt):
            fleet.run_fleet(["pi0", "twin"], work)
        killer.join()
    left = [thread for thread in threading.enumerate() if thread.name in ("pi0", "twin")]
    for thread in left:
        thread.join(30)
    assert not any(thread.is_alive() for thread in left)


def test_what_cannot_be_reached_says_why():
    failure = fleet.run_fleet([NOWHERE], measured)[NOWHERE]
    assert isinstance(failure, AgentUnreachableError)
