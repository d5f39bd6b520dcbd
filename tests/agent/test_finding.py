"""A finding on its way from the agent to the host."""

import msgpack
import pytest

from metanas_agent.errors import ProtocolError
from metanas_agent.finding import Finding
from metanas_agent.messages import Examine, Findings
from metanas_agent.protocol import decode, encode


def test_long_texts_are_cut_but_never_a_command():
    finding = Finding.warning("x", "f" * 9000, advice="a" * 9000, command="c" * 9000)
    assert finding == decode(encode(Findings(findings=(finding,)))[8:]).findings[0]
    assert finding.command == ""
    assert Finding.warning("x", "f", advice="a", command="c" * 2000).command == "c" * 2000


@pytest.mark.parametrize(
    "value",
    [
        {"check": "x", "found": "x", "verdict": "fine", "advice": "", "command": ""},
        {"check": "x", "found": "x", "verdict": "ok", "advice": ""},
        {"check": "x", "found": 3, "verdict": "ok", "advice": "", "command": ""},
        {"check": "x", "found": "x", "verdict": "ok", "advice": "", "command": "", "more": ""},
        "ok",
    ],
)
def test_a_finding_that_is_none_is_refused(value):
    with pytest.raises(ProtocolError, match="findings message: findings is"):
        decode(msgpack.packb({"type": "findings", "findings": [value]}))


def test_an_older_protocol_has_no_examination():
    with pytest.raises(ProtocolError, match="needs protocol 2"):
        Examine().to_wire(1)
