"""Boards that this host is paired with: a real agent behind TLS, and a record. No SSH."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

from metanas.devices import Address
from metanas.pairing import PairedDevice, host_certificate, save
from metanas.pairing.certificates import fingerprint
from support.agent_process import AgentProcess
from support.identities import BOARD_ID, let_in, write_identity

OTHER_ID = "fedcba9876543210"


def pair_by_hand(state, *, name="pi0", identifier=BOARD_ID, address="127.0.0.1:9", profile=""):
    """Write what pairing writes, on both sides; the record."""
    pair = write_identity(state, name, identifier=identifier)
    let_in(state, host_certificate())
    device = PairedDevice(
        id=identifier,
        name=name,
        address=address,
        fingerprint=fingerprint(pair.certificate),
        certificate=pair.certificate,
        profile=profile,
        ssh="pi@board:22",
        agent_sha256="",
    )
    save(device)
    return device


@contextmanager
def paired_board(state, *arguments, host="127.0.0.1", prefix=(), **fields):
    """A board that runs, quick to describe; its agent, and the record with its address."""
    device = pair_by_hand(state, **fields)
    with AgentProcess("--runtime", "onnx", *arguments, state=state, prefix=prefix) as agent:
        device = replace(device, address=str(Address(host, agent.port)))
        save(device)
        yield agent, device
