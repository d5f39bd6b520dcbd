"""Power and heat: what the firmware, the thermal zones and the processor's counters tell."""

from __future__ import annotations

from metanas_agent.finding import Finding
from metanas_agent.system import System

_UNDER_VOLTAGE = 0x1
_SLOWED = {0x2: "clock capped", 0x4: "throttled", 0x8: "soft temperature limit"}
_SINCE_BOOT = 16
"""Bits of Raspberry Pi firmware: so much higher stands the same of any time since boot."""

_TRIPS = 16
_NEAR_C = 10.0
_SUPPLY = (
    "the processor is slowed down while the voltage is low: use a supply and a cable that hold "
    "5 V under load, and unplug what the board feeds; restarting clears what was since boot"
)
_COOL = (
    "rows timed while it is slowed down are not the processor's own: let it cool, give it a heat "
    "sink or a fan; restarting clears what was since boot"
)


def under_voltage(system: System) -> Finding:
    """Whether the supply is too weak."""
    bits = system.state().throttled
    if bits is not None:
        if when := _when(bits, _UNDER_VOLTAGE):
            return Finding.warning("under-voltage", when, advice=_SUPPLY)
        return Finding.ok("under-voltage", "none since boot")
    alarm = _voltage_alarm(system)
    if alarm == 1:
        return Finding.warning("under-voltage", "the voltage sensor's alarm", advice=_SUPPLY)
    if alarm == 0:
        return Finding.ok("under-voltage", "none now, says the voltage sensor")
    return Finding.unknown("under-voltage", "not told: neither firmware nor a sensor says")


def throttling(system: System) -> Finding:
    """Whether the processor was slowed down, now or since boot."""
    bits = system.state().throttled
    if bits is not None:
        slowed = [f"{name} {when}" for bit, name in _SLOWED.items() if (when := _when(bits, bit))]
        if slowed:
            return Finding.warning("throttling", ", ".join(slowed), advice=_COOL)
        return Finding.ok("throttling", "none since boot")
    counters = ("core_throttle_count", "package_throttle_count")
    counts = [
        int(text)
        for name in counters
        for text in system.by_core(f"thermal_throttle/{name}").values()
        if text.isascii() and text.isdecimal() and len(text) < 20
    ]
    if not counts:
        return Finding.unknown("throttling", "not told: neither firmware nor counters say")
    if any(counts):
        found = f"up to {max(counts)} times since boot on one core"
        return Finding.warning("throttling", found, advice=_COOL)
    return Finding.ok("throttling", "none since boot")


def temperature(system: System) -> Finding:
    """How far the processor's zones are from where they slow down or switch off."""
    zones = {zone: system.number(f"{zone}/temp") for zone in system.processor_zones()}
    read = {zone: value / 1e3 for zone, value in zones.items() if value is not None}
    if not read:
        return Finding.unknown("temperature", "not told: no thermal zone is the processor's")
    limits = {zone: _limits(system, zone) for zone in read}
    found = ", ".join(_in_words(read[zone], limits[zone]) for zone in read)
    if any(read[zone] > limit - _NEAR_C for zone in read for limit in limits[zone].values()):
        return Finding.warning("temperature", found, advice=_COOL)
    if all("slows down" in limits[zone] for zone in read):
        return Finding.ok("temperature", found)
    return Finding.unknown("temperature", f"{found}; where it slows down is not told")


def _when(bits: int, bit: int) -> str:
    words = (("now", bits & bit), ("since boot", bits & bit << _SINCE_BOOT))
    return " and ".join(word for word, holds in words if holds)


def _voltage_alarm(system: System) -> float | None:
    """Of the sensor that the Raspberry Pi's kernel driver makes of the firmware's bits."""
    sensors = (f"sys/class/hwmon/{name}" for name in system.names("sys/class/hwmon"))
    for sensor in sensors:
        if system.text(f"{sensor}/name") == "rpi_volt":
            return system.number(f"{sensor}/in0_lcrit_alarm")
    return None


def _limits(system: System, zone: str) -> dict[str, float]:
    """What happens to it, and the lowest temperature at which it does."""
    happens = {"passive": "slows down", "hot": "slows down", "critical": "switches off"}
    found: dict[str, float] = {}
    for trip in range(_TRIPS):
        effect = happens.get(system.text(f"{zone}/trip_point_{trip}_type") or "")
        limit = system.number(f"{zone}/trip_point_{trip}_temp")
        if effect and limit is not None and limit > 0:  # 0 is how drivers write none
            found[effect] = min(limit / 1e3, found.get(effect, limit / 1e3))
    return found


def _in_words(now_c: float, limits: dict[str, float]) -> str:
    ends = "".join(f", {effect} at {limit:.0f} °C" for effect, limit in limits.items())
    return f"{now_c:.0f} °C{ends}"
