"""An examination: every check once, and two looks at who uses the processor."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from metanas_agent.doctor.activity import between, snapshot
from metanas_agent.doctor.clocks import clock, clock_source, governor, turbo
from metanas_agent.doctor.heat import temperature, throttling, under_voltage
from metanas_agent.doctor.load import load_average, other_load, stolen_time
from metanas_agent.doctor.memory import huge_pages, memory, swap
from metanas_agent.doctor.processor import address_randomisation, cores, siblings, virtual_machine
from metanas_agent.finding import Finding
from metanas_agent.system import System

WATCHED_S = 1.0
"""How long other processes are watched: 100 of the kernel's ticks, so 1% of a core shows."""


def examine(
    system: System | None = None, *, wait: Callable[[float], None] = time.sleep
) -> tuple[Finding, ...]:
    """Look at everything that is known to spoil measurements; takes a little over a second.

    Args:
        system: where to look; None is this machine.
        wait: lets the seconds pass during which other processes are watched.
    """
    system = system or System()
    before = snapshot(system)
    wait(WATCHED_S)
    after = snapshot(system)
    ours = {os.getpid(), os.getppid()} - {1}  # a parent that started the agent for itself waits
    activity = between(before, after, ours)
    return (
        governor(system),
        clock(system),
        turbo(system),
        under_voltage(system),
        throttling(system),
        temperature(system),
        swap(system),
        memory(system),
        huge_pages(system),
        other_load(system, activity),
        load_average(system),
        stolen_time(activity, after),
        clock_source(system),
        address_randomisation(system),
        cores(system),
        siblings(system),
        virtual_machine(system),
    )
