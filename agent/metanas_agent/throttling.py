"""Whether a machine slowed itself down while something was timed."""

from __future__ import annotations

from metanas_agent.measurement import SystemState

THROTTLED_NOW = 0xF
"""Bits of Raspberry Pi firmware that hold now: under-voltage, capped, throttled, soft limit.

The bits above them say the same of any time since boot.
"""

_CLEARLY = 0.9  # of a clock: what is below is no wobble


def slowed(before: SystemState, after: SystemState) -> str:
    """Why a row timed between two states is not the machine's own time; empty where it is.

    The firmware says so, an x86 processor counted it, the kernel lowered the highest clock
    allowed, or the clock is below what it should be when nothing may lower it. A governor that
    saves power lowers it at any time, and turbo clocks come and go: those say nothing.
    """
    bits = ((before.throttled or 0) | (after.throttled or 0)) & THROTTLED_NOW
    if bits:
        return f"throttle bits {bits:#x}"
    times = after.throttle_count - before.throttle_count
    if times > 0:
        return f"the processor slowed itself down, {times} times by its count"
    was, now = before.clock_limit_mhz, after.clock_limit_mhz
    if was and now is not None and now < _CLEARLY * was:
        return f"the highest clock allowed fell from {was:.0f} to {now:.0f} MHz"
    full = min(filter(None, (after.clock_full_mhz, after.clock_limit_mhz)), default=None)
    if full is None or after.clock_mhz is None or after.governor != "performance":
        return ""
    if after.clock_mhz < _CLEARLY * full:
        return f"the clock stood at {after.clock_mhz:.0f} of {full:.0f} MHz"
    return ""
