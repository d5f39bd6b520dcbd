"""The whole examination: of a quiet machine, of one that tells nothing, and of this one."""

import json
import subprocess
import sys

import msgpack

from metanas_agent.doctor import examine
from metanas_agent.finding import FINDING_VERDICTS, Finding
from metanas_agent.messages import Error, Examine
from metanas_agent.system import System
from support.agent_process import AgentProcess, raw_connection
from support.machine_files import QUIET
from support.mutator import framed


def test_a_quiet_machine_has_nothing_to_mend(look):
    findings = look()
    assert {finding.verdict for finding in findings.values()} == {"ok"}
    assert not any(finding.advice or finding.command for finding in findings.values())
    assert findings["governor"].found == "performance on cores 0-1"
    assert findings["clock"].found == "1498 of 1500 MHz on cores 0-1"
    assert findings["temperature"].found == "48 °C, slows down at 80 °C, switches off at 110 °C"
    assert findings["cores"].found == "0-1 of 0-1 usable, 1 isolated, 1 without ticks"
    assert findings["other load"].found == "0.02 cores used by others"
    assert findings["swap"].found == "none"


def test_a_machine_that_tells_nothing_is_unknown_and_not_fine(tmp_path, unaided):
    findings = examine(System(tmp_path, machine="armv6l"), wait=lambda _: None)
    assert {finding.verdict for finding in findings} == {"unknown"}
    assert all("not told" in finding.found for finding in findings)


def test_files_that_are_folders_tell_nothing(tmp_path, unaided):
    for path in QUIET:
        (tmp_path / path).mkdir(parents=True)
    findings = examine(System(tmp_path, machine="x86_64"), wait=lambda _: None)
    assert {finding.verdict for finding in findings} == {"unknown"}


def test_an_agent_examines_its_machine_and_says_so_when_it_does_not_know_a_request():
    with AgentProcess("--runtime", "onnx") as agent, raw_connection(agent.port) as peer:
        peer.greet()
        findings = peer.ask(Examine()).findings
        assert {finding.verdict for finding in findings} <= set(FINDING_VERDICTS)
        (cores,) = [finding for finding in findings if finding.check == "cores"]
        assert cores.verdict != "unknown"
        peer.socket.sendall(framed(msgpack.packb({"type": "divine"}), 2))
        answer = peer.receive()
        assert isinstance(answer, Error)
        assert "'divine'" in answer.what
        assert "upgrade" in answer.hint


def test_the_command_on_the_board_itself():
    command = [sys.executable, "-m", "metanas_agent", "doctor"]
    run = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    lines = run.stdout.splitlines()
    assert run.stderr == ""
    assert run.returncode == int(any(line.startswith("warning") for line in lines))
    assert any(line.split()[1:] and line.split()[1] == "swap" for line in lines)
    asked = subprocess.run([*command, "--json"], capture_output=True, check=False, timeout=60)
    findings = [Finding(**values) for values in json.loads(asked.stdout)]
    assert asked.returncode == int(any(finding.verdict == "warning" for finding in findings))
    assert len(findings) > 10
