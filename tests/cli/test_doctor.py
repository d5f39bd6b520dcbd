"""`metanas-profile doctor`, as a person and as a script read it, on real agents."""

import json
from functools import partial

import pytest

from metanas.devices import AgentDevice
from metanas_agent.finding import FINDING_VERDICTS, Finding
from support.agent_process import AgentProcess

WARNING = Finding.warning(
    "governor", "ondemand on \x1b[31mcore 0", advice="it changes", command="echo x | tee /y"
)


@pytest.fixture
def doctor(run, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "60")

    return partial(run, "doctor")


@pytest.fixture
def finds(monkeypatch):
    """What the next examination shall find, whatever this machine is like."""

    def set_findings(*findings):
        monkeypatch.setattr(AgentDevice, "examine", lambda _: findings)

    return set_findings


def test_examines_this_machine_for_scripts(doctor):
    code, out, _ = doctor("--device", "local", "--json")
    (result,) = json.loads(out)
    findings = [Finding(**values) for values in result["findings"]]
    assert result["device"] == "local"
    assert {finding.verdict for finding in findings} <= set(FINDING_VERDICTS)
    assert code == int(any(finding.verdict == "warning" for finding in findings))


def test_a_warning_is_shown_with_a_command_in_one_line(doctor, finds):
    long = Finding.warning("swap", "used", advice="slow", command="sudo " + "x" * 100)
    finds(WARNING, long, Finding.ok("clock source", "tsc"), Finding.unknown("turbo", "not told"))
    code, out, _ = doctor("--device", "local")
    assert code == 1
    lines = [line.strip() for line in out.splitlines()]
    assert "echo x | tee /y" in lines
    assert long.command in lines
    assert "governor: it changes" in lines
    assert ["clock", "source", "ok", "tsc"] in [line.split() for line in lines]
    assert ["turbo", "unknown", "not", "told"] in [line.split() for line in lines]
    assert "ondemand on \\x1b[31mcore 0".replace("\\x1b", "\ufffd") in out
    assert "\x1b[31mcore" not in out


def test_what_an_agent_sends_is_written_out(doctor, finds):
    finds(Finding(check="a\x1b", found="b\x1b", verdict="warning", advice="c\x1b", command="d\x1b"))
    out = doctor("--device", "local")[1]
    for letter in "abcd":
        assert f"{letter}\\x1b" in out


def test_unknown_is_no_warning(doctor, finds):
    finds(Finding.unknown("turbo", "not told"), Finding.ok("swap", "none"))
    code, out, _ = doctor("--device", "local")
    assert code == 0
    assert "nothing to mend on local" in out


def test_what_could_be_better_is_told_and_no_warning(doctor, finds):
    note = Finding.note("address randomisation", "on", advice="caches differ", command="setarch -R")
    finds(note, Finding.ok("swap", "none"))
    code, out, _ = doctor("--device", "local")
    assert code == 0
    lines = [line.strip() for line in out.splitlines()]
    assert "nothing to mend on local" in lines
    better = lines.index("fine, and could be better, on local:")
    assert lines[better + 1 :] == ["address randomisation: caches differ", "setarch -R"]


def test_several_devices_and_one_that_cannot_be_examined(doctor):
    with AgentProcess("--runtime", "onnx") as agent:
        name = f"127.0.0.1:{agent.port}"
        code, out, err = doctor("--device", f"{name},eyeriss", "--json")
    examined, failed = json.loads(out)
    assert code == 1
    assert examined["device"] == name
    assert failed["device"] == "eyeriss"
    assert "error: eyeriss: eyeriss is simulated" in err


def test_a_simulator_alone(doctor):
    code, _, err = doctor("--device", "eyeriss")
    assert code == 1
    assert "error: eyeriss is simulated, so nothing can disturb its measurements" in err


def test_a_device_must_be_named(doctor):
    code, _, err = doctor()
    assert code == 2
    assert "--device" in err
