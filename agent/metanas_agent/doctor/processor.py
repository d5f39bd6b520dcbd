"""The processor's cores, whose they are, and where programs are put in memory."""

from __future__ import annotations

import os
import re

from metanas_agent.doctor.core_list import cores_in_words, parse_cores, write_cores
from metanas_agent.finding import Finding
from metanas_agent.system import System

_CPUS = "sys/devices/system/cpu"
_NOT_RANDOMISED = 0x0004_0000
"""The bit of a process's personality that says that its addresses are not randomised."""


def cores(system: System) -> Finding:
    """Which cores there are, which of them are ours, and which the scheduler leaves alone."""
    online = parse_cores(system.text(f"{_CPUS}/online"))
    status = system.text("proc/self/status") or ""
    allowed = re.search(r"^Cpus_allowed_list:\s*(\S+)$", status, re.MULTILINE)
    usable = parse_cores(allowed[1] if allowed else None)
    if not online or not usable:
        return Finding.unknown("cores", "not told")
    isolated = parse_cores(system.text(f"{_CPUS}/isolated")) or set()
    tickless = parse_cores(system.text(f"{_CPUS}/nohz_full")) or set()
    found = f"{write_cores(usable)} of {write_cores(online)} usable"
    found += f", {write_cores(isolated)} isolated" if isolated else ", none isolated"
    found += f", {write_cores(tickless)} without ticks" if tickless else ""
    if kept := online - usable - isolated:
        return Finding.warning(
            "cores",
            found,
            advice=f"the agent may not use {cores_in_words(kept)}",
            command=f"sudo taskset -apc {write_cores(online)} {os.getpid()}",
        )
    if idle := isolated & online - usable:
        return Finding.warning(
            "cores",
            found,
            advice="the agent does not run where it is quiet",
            command=f"sudo taskset -apc {write_cores(idle)} {os.getpid()}",
        )
    if len(online) == 1:
        return Finding.warning(
            "cores",
            found,
            advice="whatever else runs takes time from what is timed: keep the board for itself",
        )
    return Finding.ok("cores", found)


def siblings(system: System) -> Finding:
    """Whether two threads of one core are in each other's way."""
    active = system.text(f"{_CPUS}/smt/active")
    shared = [
        parse_cores(text) for text in system.by_core("topology/thread_siblings_list").values()
    ]
    pairs = sorted({write_cores(group) for group in shared if group and len(group) > 1})
    if active == "1" or (active is None and pairs):
        return Finding.warning(
            "sibling threads",
            f"on: {', '.join(pairs)} share a core" if pairs else "on",
            advice="a thread is slower while its sibling works",
            command=f"echo off | sudo tee /{_CPUS}/smt/control" if active else "",
        )
    if active == "0" or (shared and all(shared)):
        return Finding.ok("sibling threads", "none")
    return Finding.unknown("sibling threads", "not told")


def virtual_machine(system: System) -> Finding:
    """Whether the processor is another program's, or shared with other machines."""
    if system.emulated():
        return Finding.warning(
            "virtual machine",
            "another kind of processor plays this one",
            advice="times mean nothing of the board's: measure on the board itself",
        )
    flags = re.search(r"^flags\s*:(.*)$", system.text("proc/cpuinfo") or "", re.MULTILINE)
    board = (system.text("proc/device-tree/model") or "").strip("\0 ")
    hypervisor = system.text("sys/hypervisor/type") or ""
    if (
        hypervisor
        or board == "linux,dummy-virt"
        or "hypervisor" in system.names("proc/device-tree")
        or (flags and "hypervisor" in flags[1].split())
    ):
        return Finding.warning(
            "virtual machine",
            f"yes {hypervisor}",
            advice="the clock, the heat and the neighbours are hidden: trust comparisons made side "
            "by side, or measure on a machine of your own",
        )
    if flags:
        return Finding.ok("virtual machine", "no")
    if board:
        return Finding.ok("virtual machine", f"no: {board}")
    return Finding.unknown("virtual machine", "not told")


def address_randomisation(system: System) -> Finding:
    """Whether each process finds its memory elsewhere."""
    setting = system.text("proc/sys/kernel/randomize_va_space")
    if setting == "0":
        return Finding.ok("address randomisation", "off")
    if setting not in ("1", "2"):
        return Finding.unknown("address randomisation", "not told")
    personality = system.text("proc/self/personality") or ""
    if re.fullmatch(r"[0-9a-f]{1,8}", personality) and int(personality, 16) & _NOT_RANDOMISED:
        return Finding.ok("address randomisation", "off for this agent")
    return Finding.note(
        "address randomisation",
        "on",
        advice="each process has other addresses, so caches hit differently from one to the next, "
        "which no interval of one process shows; put setarch -R before the agent's command, or "
        "before metanas-profile for this machine itself",
        command="setarch -R metanas-agent serve",
    )
