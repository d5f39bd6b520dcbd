import pytest

from metanas_agent.measurement import SystemState
from metanas_agent.throttling import slowed

FIRM = {"governor": "performance", "clock_full_mhz": 1500.0}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({"throttled": 0x50000}, {"throttled": 0xF0000}),  # at some time since boot
        ({"throttle_count": 7}, {"throttle_count": 7}),
        ({"clock_mhz": 600.0}, {"clock_mhz": 1500.0}),  # it had been idle
        ({"clock_mhz": 1500.0}, {"clock_mhz": 1400.0}),
        ({"clock_mhz": 1500.0}, {}),
        ({"clock_mhz": 4700.0}, {"clock_mhz": 4100.0, "governor": "powersave"}),  # turbo is over
        ({"clock_mhz": 0.0}, {"clock_mhz": 0.0}),
        (FIRM, FIRM | {"clock_mhz": 1490.0}),
        (FIRM, FIRM | {"clock_mhz": 990.0, "clock_limit_mhz": 1000.0}),  # a person's own limit
        ({}, {"governor": "powersave", "clock_full_mhz": 1500.0, "clock_mhz": 600.0}),
        ({}, {"governor": "performance", "clock_mhz": 600.0}),
    ],
)
def test_a_machine_at_its_own_pace_is_not_throttled(before, after):
    assert slowed(SystemState(**before), SystemState(**after)) == ""


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({"throttled": 0x4}, {"throttled": 0x0}, "throttle bits 0x4"),
        ({"throttled": 0x0}, {"throttled": 0x50001}, "throttle bits 0x1"),
        ({"throttle_count": 7}, {"throttle_count": 9}, "slowed itself down, 2 times"),
        (
            {"clock_limit_mhz": 1500.0},
            {"clock_limit_mhz": 1200.0},
            "highest clock allowed fell from 1500 to 1200",
        ),
        (FIRM, FIRM | {"clock_mhz": 1000.0}, "the clock stood at 1000 of 1500 MHz"),
    ],
)
def test_a_machine_that_slowed_down_says_how(before, after, reason):
    assert reason in slowed(SystemState(**before), SystemState(**after))
