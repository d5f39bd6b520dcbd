"""Programs brought to a real board behind TLS, over links that break."""

import hashlib
import os

import pytest

from metanas.devices import AgentDevice, ReconnectingDevice, TlsEndpoint
from metanas.devices.connection import Connection
from metanas.devices.upload import upload
from metanas.errors import AgentUnreachableError, ArtifactError, UntrustedError
from metanas.pairing.trust import client_context
from metanas_agent.layers import EmptyLayer
from metanas_agent.messages import Offer, Stored
from metanas_agent.timer import TimerSettings
from support.agent_process import AgentProcess
from support.faulty_link import FaultyLink
from support.paired_boards import paired_board

QUICK = TimerSettings(budget_ms=2.0, min_samples=6, interval=0.5, sample_ms=0.05)
LAYERS = [EmptyLayer(1, 1, width) for width in range(1, 6)]
SIZE = 1_500_000


class OneProgram:
    """The same file for everything."""

    def __init__(self, path):
        self.path = path
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()

    def for_layers(self):
        return self.sha256, self.path

    def for_model(self, model):
        return self.sha256, self.path


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program"
    path.write_bytes(os.urandom(SIZE))
    return OneProgram(path)


@pytest.fixture
def board(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with paired_board(tmp_path / "state", "--host", "127.0.0.1") as (agent, record):
        agent.reach = lambda port: TlsEndpoint(
            "127.0.0.1", port, client_context(record), record.fingerprint
        )
        yield agent


def stored(agent):
    return {path.name: path.stat().st_size for path in (agent.state / "artifacts").iterdir()}


def test_a_program_is_brought_before_layers_are_measured(board, program):
    with AgentDevice("pi0", board.reach(board.port), artifacts=program) as device:
        assert len(list(device.measure(LAYERS, QUICK))) == len(LAYERS)
        assert stored(board) == {program.sha256: SIZE}
        program.path.unlink()  # what is there is not brought again
        assert len(list(device.measure(LAYERS, QUICK))) == len(LAYERS)


def test_a_cut_upload_goes_on_where_it_stopped(board, program):
    with FaultyLink(board.port, cut_after=800_000) as link:
        waits = []

        def connect(session):
            endpoint = board.reach(link.port)
            return AgentDevice("pi0", endpoint, artifacts=program, session=session)

        with ReconnectingDevice(connect, on_wait=waits.append) as device:
            assert len(list(device.measure(LAYERS, QUICK))) == len(LAYERS)
    assert len(waits) == 1
    assert waits[0].startswith("lost pi0: ")
    assert stored(board) == {program.sha256: SIZE}


def test_what_arrived_before_the_cut_is_not_sent_again(board, program):
    with FaultyLink(board.port, cut_after=800_000) as link:
        connection = Connection(board.reach(link.port))
        with pytest.raises(AgentUnreachableError):
            upload(connection, program.sha256, program.path)
        connection.close()
        connection = Connection(board.reach(link.port))
        connection.send(Offer(sha256=program.sha256, size_bytes=SIZE))
        received = connection.receive(Stored).received_bytes
        assert 0 < received < SIZE
        assert received % (256 * 1024) == 0
        upload(connection, program.sha256, program.path)
        connection.close()
    assert stored(board) == {program.sha256: SIZE}


def test_a_program_that_is_not_its_hash_is_refused_and_leaves_no_trace(board, program):
    program.sha256 = "0" * 64
    with AgentDevice("pi0", board.reach(board.port), artifacts=program) as device:
        with pytest.raises(ArtifactError, match="something else than its hash"):
            list(device.measure(LAYERS, QUICK))
        assert stored(board) == {}
        assert not device.status().busy  # the connection is as good as before


def test_a_program_that_cannot_be_read_is_said(board, program):
    program.path.unlink()
    with (
        AgentDevice("pi0", board.reach(board.port), artifacts=program) as device,
        pytest.raises(ArtifactError, match=str(program.path)),
    ):
        list(device.measure(LAYERS, QUICK))


def test_a_board_that_is_not_paired_takes_none(program):
    with AgentProcess() as agent:
        with (
            AgentDevice("board", agent.endpoint, artifacts=program) as device,
            pytest.raises(UntrustedError, match="pair first"),
        ):
            list(device.measure(LAYERS, QUICK))
        assert not (agent.state / "artifacts").exists()
