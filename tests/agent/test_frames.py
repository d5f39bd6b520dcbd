"""Hostile frames, by the ten thousand, at a real agent: it stays alive, small, and does nothing."""

import os
import re
import ssl
from itertools import islice
from pathlib import Path

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metanas.pairing.certificates import make_key_pair
from metanas_agent.messages import Describe, Description
from support.agent_process import AgentProcess, Peer, raw_connection
from support.any_message import any_message, plain
from support.attacker import assail
from support.identities import let_in, write_identity, write_private
from support.mutator import Attack, Mutator, framed

MOST_GROWTH_KIB = 16 * 1024
ARGUMENTS = ("--runtime", "native", "--host", "127.0.0.1")  # it runs what paired hosts upload

count = pytest.mark.parametrize(
    "count", [3_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
"""Of frames in all the tests together; each takes its share."""


@pytest.fixture(scope="module", params=["compiled", "pure"])
def unpaired(request, tmp_path_factory):
    """With msgpack as wheels bring it, and as the one-file agent does."""
    path = tmp_path_factory.mktemp("agent") / "errors"
    env = os.environ | ({"MSGPACK_PUREPYTHON": "1"} if request.param == "pure" else {})
    with path.open("wb") as errors, AgentProcess(*ARGUMENTS, stderr=errors, env=env) as agent:
        yield agent
    assert path.read_text() == ""


@pytest.fixture
def host():
    return make_key_pair("laptop")


@pytest.fixture
def paired(tmp_path, host):
    """An agent behind TLS; `context` makes a key pair's side of it."""
    board = write_identity(tmp_path / "state")
    let_in(tmp_path / "state", host.certificate)

    def context(pair):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False
        made.load_verify_locations(cadata=board.certificate)
        path = tmp_path / f"{id(pair)}.pem"
        write_private(path, pair.certificate + pair.key)
        made.load_cert_chain(path)
        return made

    path = tmp_path / "errors"
    with (
        path.open("wb") as errors,
        AgentProcess(*ARGUMENTS, state=tmp_path / "state", stderr=errors) as agent,
    ):
        agent.context = context
        yield agent
    assert path.read_text() == ""


@count
def test_an_unpaired_peer_sends_what_it_likes(unpaired, count):
    share = count * 3 // 10
    survived = assail_without_growth(unpaired, share)
    assert share // 100 < survived < share
    assert_did_nothing(unpaired)
    with raw_connection(unpaired.port) as peer:
        assert_describes_itself(peer)


@count
def test_a_paired_host_sends_what_it_likes(paired, host, count):
    share = count * 3 // 10
    survived = assail_without_growth(paired, share, context=paired.context(host))
    assert share // 100 < survived < share
    whole = [path.name for path in paired.state.glob("artifacts/*") if path.suffix != ".part"]
    assert whole == []
    with (
        raw_connection(paired.port) as plain_peer,
        paired.context(host).wrap_socket(plain_peer.socket) as secured,
    ):
        assert_describes_itself(Peer(secured))


@count
def test_what_strangers_send_to_a_paired_board_is_not_even_read(paired, host, count):
    """Frames without TLS, and within the TLS of a host of the same name that is not paired."""
    share = count // 20
    stranger = paired.context(make_key_pair("laptop"))
    for context in (None, stranger):
        assert assail_without_growth(paired, share, context=context) == 0
    assert_did_nothing(paired)
    with (
        raw_connection(paired.port) as plain_peer,
        paired.context(host).wrap_socket(plain_peer.socket) as secured,
    ):
        assert_describes_itself(Peer(secured))


@st.composite
def any_attack(draw):
    """A message with some of its fields replaced, before or after hello."""
    greets = draw(st.booleans())
    values = draw(any_message).to_wire()
    for name in draw(st.lists(st.sampled_from(sorted(values)), max_size=2)):
        values[name] = draw(plain)
    body = draw(st.just(msgpack.packb(values)) | st.binary(max_size=100))
    return Attack(framed(body, 2 if greets else 1), greets, True)


@settings(deadline=None)
@given(st.lists(any_attack(), min_size=1, max_size=10))
def test_whatever_hypothesis_thinks_of(unpaired, attacks):
    assail(unpaired.port, attacks)
    assert_did_nothing(unpaired)
    with raw_connection(unpaired.port) as peer:
        assert_describes_itself(peer)


def assail_without_growth(agent, share, **options):
    """How many of so many attacks left their connection alive."""
    assail(agent.port, islice(Mutator(1), 300), **options)  # caches and arenas fill
    before_kib = resident_kib(agent.pid)
    survived = assail(agent.port, islice(Mutator(2), share), **options)
    assert resident_kib(agent.pid) - before_kib < MOST_GROWTH_KIB
    return survived


def assert_did_nothing(agent):
    """No process was started for a peer that is not paired, and nothing was stored."""
    fields = Path(f"/proc/{agent.pid}/stat").read_text().rpartition(")")[2].split()
    assert fields[13:15] == ["0", "0"]  # CPU time of children that have ended
    assert Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text() == ""
    assert not (agent.state / "artifacts").exists()


def assert_describes_itself(peer):
    peer.greet()
    assert isinstance(peer.ask(Describe()), Description)


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1])
