"""Memory: what is free, what was swapped out, and pages that change size by themselves."""

from __future__ import annotations

import re
from typing import NamedTuple

from metanas_agent.finding import Finding
from metanas_agent.system import System

_LEAST_BYTES = 128 * 2**20
"""About what Python and ONNX Runtime take together before they load a model."""

_MIB = 2**20
_HUGE_PAGES = "sys/kernel/mm/transparent_hugepage/enabled"
_SWAP_LINE = re.compile(r"(\S+)\s+\S+\s+(\d{1,15})\s+(\d{1,15})\s+-?\d+", re.ASCII)


class _Swap(NamedTuple):
    name: str
    size_bytes: int
    used_bytes: int


def swap(system: System) -> Finding:
    """Whether memory was swapped out, to a disk or compressed."""
    swaps = _swaps(system.text("proc/swaps"))
    if swaps is None:
        return Finding.unknown("swap", "not told")
    if not swaps:
        return Finding.ok("swap", "none")
    used_bytes = sum(area.used_bytes for area in swaps)
    found = ", ".join(
        f"{area.used_bytes // _MIB} of {area.size_bytes // _MIB} MiB used on {area.name}"
        for area in swaps
    )
    if not used_bytes:
        return Finding.ok("swap", found)
    available = system.available_memory_bytes()
    fits = available is not None and available > used_bytes + _LEAST_BYTES
    return Finding.warning(
        "swap",
        found,
        advice="a page that has to come back costs milliseconds"
        + ("" if fits else "; free memory first, then: sudo swapoff -a"),
        command="sudo swapoff -a" if fits else "",
    )


def memory(system: System) -> Finding:
    """Whether a runtime fits without swapping."""
    available, total = system.available_memory_bytes(), system.memory_bytes()
    if available is None or total is None:
        return Finding.unknown("memory", "not told")
    found = f"{available // _MIB} of {total // _MIB} MiB available"
    if available >= _LEAST_BYTES:
        return Finding.ok("memory", found)
    return Finding.warning(
        "memory",
        found,
        advice="too little for a runtime and a model; the command stops a desktop if there is one",
        command="sudo systemctl isolate multi-user.target"
        if "system" in system.names("run/systemd")
        else "",
    )


def huge_pages(system: System) -> Finding:
    """Whether the kernel may make small pages huge while a layer is timed."""
    chosen = re.search(r"\[(always|madvise|never)\]", system.text(_HUGE_PAGES) or "")
    if chosen is None:
        return Finding.unknown("huge pages", "not told: the kernel has no transparent huge pages")
    if chosen[1] != "always":
        return Finding.ok("huge pages", chosen[1])
    return Finding.warning(
        "huge pages",
        "always",
        advice="the kernel makes pages huge when it pleases, and times change with it",
        command=f"echo madvise | sudo tee /{_HUGE_PAGES}",
    )


def _swaps(text: str | None) -> list[_Swap] | None:
    """The lines behind the heading; None where they are not what the kernel writes."""
    heading, _, body = (text or "").partition("\n")
    lines = [_SWAP_LINE.fullmatch(line.strip()) for line in body.splitlines()]
    found = [_Swap(line[1], int(line[2]) * 1024, int(line[3]) * 1024) for line in lines if line]
    return found if heading.startswith("Filename") and len(found) == len(lines) else None
