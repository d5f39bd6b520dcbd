"""Who else works on the machine while it is watched, and what its hypervisor takes away."""

import os

import pytest

from metanas_agent.finding import Finding
from support.machine_files import CGROUP, KERNEL_THREAD, OTHER, STAT, process, ticks


@pytest.mark.parametrize(
    ("files", "name", "command"),
    [
        ({}, "chrome", f"sudo kill -STOP {OTHER}"),
        ({}, "a) R (b", f"sudo kill -STOP {OTHER}"),
        ({CGROUP: "0::/user.slice/user-1000.slice/session-3.scope"}, "make",
         f"sudo kill -STOP {OTHER}"),
        ({CGROUP: "0::/system.slice/cups.service\n"}, "cupsd", "sudo systemctl stop cups.service"),
        ({CGROUP: "0::/system.slice/ssh.service\n"}, "sshd", ""),
        ({}, "sshd", ""),
        ({}, "metanas-agent", ""),
    ],
)  # fmt: skip
def test_who_else_works_is_named_and_can_be_quieted(look, files, name, command):
    finding = look(
        {STAT: process(100, name=name), **files},
        {STAT: process(150, name=name), "proc/stat": ticks(busy=50, idle=1150)},
    )["other load"]
    assert finding.verdict == "warning"
    assert finding.found == f"0.50 cores used by others: {name} ({OTHER}) 50%"
    assert finding.command == command


def test_kernel_threads_are_named_and_left_alone(look):
    finding = look(
        {STAT: process(0, name="kswapd0", flags=KERNEL_THREAD)},
        {STAT: process(50, name="kswapd0", flags=KERNEL_THREAD),
         "proc/stat": ticks(busy=50, idle=1150)},
    )["other load"]  # fmt: skip
    assert "kswapd0" in finding.found
    assert finding.verdict == "warning"
    assert finding.command == ""


def test_our_own_work_is_not_somebody_elses(look):
    ours = f"proc/{os.getpid()}/stat"
    finding = look(
        {ours: process(100)}, {ours: process(180), "proc/stat": ticks(busy=80, idle=1120)}
    )["other load"]
    assert finding == Finding.ok("other load", "0.00 cores used by others")


def test_a_process_that_has_an_ended_ones_id_has_not_worked_less_than_nothing(look):
    ours = f"proc/{os.getpid()}/stat"
    finding = look({ours: process(900)}, {ours: process(10)})["other load"]
    assert finding == Finding.ok("other load", "0.02 cores used by others")


def test_names_cannot_play_with_a_terminal(look):
    name = "\x1b]0;x\x07\nsh"
    finding = look(
        {STAT: process(0, name=name)},
        {STAT: process(50, name=name), "proc/stat": ticks(busy=50, idle=1150)},
    )["other load"]
    assert finding.found.isprintable()


@pytest.mark.parametrize(
    ("since_boot", "later", "found"),
    [
        (0, ticks(steal=20, idle=1180), "10.0% now, 1.7% since boot"),
        (0, ticks(steal=1, idle=1199), ""),
        (30, ticks(steal=30, idle=1200), "0.0% now, 2.4% since boot"),
    ],
)
def test_time_that_a_hypervisor_takes_away(look, since_boot, later, found):
    findings = look({"proc/stat": ticks(steal=since_boot)}, {"proc/stat": later})
    assert findings["stolen time"].verdict == ("warning" if found else "ok")
    assert found in findings["stolen time"].found
    assert findings["other load"].verdict == "ok"  # what is stolen is no work of this machine


@pytest.mark.parametrize("stat", [None, "", "cpu  1 2 3\n", ticks(), ticks(idle=5), "cpu x\n"])
def test_accounts_that_do_not_go_on_tell_nothing(look, stat):
    findings = look(later={"proc/stat": stat})
    assert findings["other load"].verdict == "unknown"
    assert findings["stolen time"].verdict == "unknown"
