"""The processor's clock, who steers it, and the clock that times are read from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from metanas_agent.doctor.core_list import cores_in_words
from metanas_agent.finding import Finding
from metanas_agent.system import System

_CPUS = "/sys/devices/system/cpu"
_CLOCK_SOURCES = "sys/devices/system/clocksource/clocksource0"
_QUICK_SOURCES = (
    *("tsc", "arch_sys_counter", "riscv_clocksource"),
    *("kvm-clock", "hyperv_clocksource_tsc_page"),
)
"""Read without a system call, in tens of nanoseconds; the best first."""
_SLOW_SOURCES = ("hpet", "acpi_pm", "pit", "jiffies", "refined-jiffies")
_NEAR = 0.95
"""A clock of this share of its maximum is the maximum; readings wander a little."""

_NO_CPUFREQ = "not told: the system has no cpufreq, as in most virtual machines"
_PERFORMANCE = f"echo performance | sudo tee {_CPUS}/cpu*/cpufreq/scaling_governor"


def governor(system: System) -> Finding:
    """Only `performance` keeps the clock where it is."""
    found = system.by_core("cpufreq/scaling_governor")
    if not any(found.values()):
        return Finding.unknown("governor", _NO_CPUFREQ)
    text = _by_value({core: name or "not told" for core, name in found.items()})
    if set(found.values()) == {"performance"}:
        return Finding.ok("governor", text)
    if not set(found.values()) - {"performance", ""}:
        return Finding.unknown("governor", text)
    return Finding.warning(
        "governor", text, advice="the clock changes while layers are timed", command=_PERFORMANCE
    )


def clock(system: System) -> Finding:
    """The clock of now, of each core, against its maximum and the limit that is set."""
    now, limit, most = (
        {
            core: khz
            for core, text in system.by_core(f"cpufreq/{file}").items()
            if (khz := _khz(text))
        }
        for file in ("scaling_cur_freq", "scaling_max_freq", "cpuinfo_max_freq")
    )
    known = sorted(now.keys() & most.keys())
    if not known:
        return Finding.unknown("clock", _NO_CPUFREQ)
    text = _by_value({core: f"{now[core] // 1000} of {most[core] // 1000} MHz" for core in known})
    if capped := [core for core in known if limit.get(core, most[core]) < _NEAR * most[core]]:
        return Finding.warning(
            "clock",
            f"{text}, limited to {_megahertz(limit[core] for core in capped)}",
            advice="somebody set a limit below the processor's own",
            command=f"echo {max(most.values())} | sudo tee {_CPUS}/cpu*/cpufreq/scaling_max_freq",
        )
    if slow := [core for core in known if now[core] < _NEAR * most[core]]:
        steered = system.by_core("cpufreq/scaling_governor")
        steady = all(steered.get(core) == "performance" for core in slow)
        return Finding.warning(
            "clock",
            text,
            advice="the governor asks for more, so heat, power or turbo's rules hold it down"
            if steady
            else "the governor lets it fall while there is little to do",
            command="" if steady else _PERFORMANCE,
        )
    return Finding.ok("clock", text)


def turbo(system: System) -> Finding:
    """Whether the clock may go beyond what the processor can hold."""
    for file, on, off in (("intel_pstate/no_turbo", "0", "1"), ("cpufreq/boost", "1", "0")):
        setting = system.text(f"{_CPUS[1:]}/{file}")
        if setting == off:
            return Finding.ok("turbo", "off")
        if setting == on:
            return Finding.warning(
                "turbo",
                "on",
                advice="the clock hangs on heat and on what other cores do; leave it on only if "
                "the network will run so",
                command=f"echo {off} | sudo tee {_CPUS}/{file}",
            )
    return Finding.unknown("turbo", "not told: there is no switch for it")


def clock_source(system: System) -> Finding:
    """What the kernel counts time with."""
    source = system.text(f"{_CLOCK_SOURCES}/current_clocksource")
    if not source:
        return Finding.unknown("clock source", "not told")
    if source in _QUICK_SOURCES:
        return Finding.ok("clock source", source)
    if source not in _SLOW_SOURCES:
        return Finding.unknown("clock source", f"{source}, which is not known to be quick or slow")
    available = (system.text(f"{_CLOCK_SOURCES}/available_clocksource") or "").split()
    better = next((name for name in _QUICK_SOURCES if name in available), "")
    return Finding.warning(
        "clock source",
        source,
        advice="it is coarse, or slow to read"
        + ("" if better else ", and the kernel offers no better one; see why with: dmesg"),
        command=f"echo {better} | sudo tee /{_CLOCK_SOURCES}/current_clocksource" if better else "",
    )


def _khz(text: str) -> int | None:
    """A clock; None where it is none, or none that a processor could have."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else None


def _megahertz(clocks: Iterable[int]) -> str:
    return " and ".join(f"{khz // 1000} MHz" for khz in sorted(set(clocks)))


def _by_value(values: dict[int, str]) -> str:
    """Such as `performance on cores 0-2, ondemand on core 3`."""
    groups: dict[str, list[int]] = defaultdict(list)
    for core, value in values.items():
        groups[value].append(core)
    return ", ".join(f"{value} on {cores_in_words(cores)}" for value, cores in groups.items())
