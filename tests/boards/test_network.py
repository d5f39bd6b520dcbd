"""Boards are found by mDNS across the cable."""

from __future__ import annotations

import pytest

from support.agent_process import wait_for

pytestmark = [pytest.mark.boards, pytest.mark.timeout(900)]


def test_a_host_that_is_not_paired_sees_what_there_is(new_laptop, pi0):
    entry = wait_for(lambda: new_laptop.devices().get(pi0.device_id()))
    assert (entry["name"], entry["where"]) == ("pi0", f"{pi0.address}:7431")
    assert (entry["machine"], entry["runtimes"]) == ("armv6l", ["native"])
    assert (entry["paired"], entry["state"]) == (False, "not paired")


def test_a_board_that_moved_is_found_again(laptop, pi0):
    id_ = pi0.device_id()
    pi0.cable.renumber()
    for _ in range(20):  # the agent looks at its addresses only now and then
        if laptop.devices()[id_]["state"] == "free":
            break
    assert laptop.devices()[id_]["where"] == f"{pi0.address}:7431"
