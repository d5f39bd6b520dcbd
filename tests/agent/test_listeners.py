"""Who can come in where, and what they may do there."""

import hashlib
import os
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from metanas.devices import AgentDevice, TcpEndpoint, TlsEndpoint, UnixEndpoint
from metanas.errors import AgentUnreachableError, UntrustedError
from metanas.pairing.certificates import fingerprint, make_key_pair
from metanas_agent.errors import PortInUseError, UnsafeAddressError
from metanas_agent.layers import EmptyLayer
from metanas_agent.listeners import LoopbackListener, UnixListener
from metanas_agent.messages import Alive, Chunk, Describe, Measure, Offer, Row, RunModel, Stored
from metanas_agent.protocol import encode
from metanas_agent.timer import TimerSettings
from metanas_agent.wire import Tensor
from support.agent_process import AgentProcess, Peer, children, raw_connection, wait_for
from support.identities import BOARD_ID, let_in, write_identity, write_private

QUICK = TimerSettings(budget_ms=2.0, min_samples=6, interval=0.5, sample_ms=0.05)
PROGRAM = b"#!/bin/sh\nexit 0\n"
REFUSED = (UntrustedError, AgentUnreachableError)  # it depends on whether TLS may say why
SHA = hashlib.sha256(PROGRAM).hexdigest()


def bring(peer):
    assert peer.ask(Offer(sha256=SHA, size_bytes=len(PROGRAM))) == Stored(
        sha256=SHA, received_bytes=0
    )
    answer = peer.ask(Chunk(sha256=SHA, offset=0, data=PROGRAM))
    assert answer == Stored(sha256=SHA, received_bytes=len(PROGRAM))


@pytest.fixture
def closed(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    return folder


class TestLoopback:
    def test_an_unpaired_host_brings_no_programs(self):
        with AgentProcess() as agent, raw_connection(agent.port) as peer:
            assert not peer.greet().trusted
            images = Tensor(b"\0" * 4, (1, 1))
            model = {"model": b"", "inputs": images, "settings": QUICK}
            for request in (
                Offer(sha256=SHA, size_bytes=len(PROGRAM)),
                Chunk(sha256=SHA, offset=0, data=PROGRAM),
                Measure(layers=(), settings=QUICK, runtime="native"),
                Measure(layers=(), settings=QUICK, runtime="onnx", artifact=SHA),
                RunModel(**model, runtime="native", artifact=SHA),
                RunModel(**model, runtime="onnx", artifact=SHA),
            ):
                error = peer.ask(request)
                assert error.code == "untrusted"
                assert "metanas-profile pair" in error.hint
            assert children(agent.pid) == []
            assert not (agent.state / "artifacts").exists()

    @pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "example.org", ""])
    def test_it_is_not_opened_where_others_could_reach_it(self, host):
        with pytest.raises(UnsafeAddressError, match="no host is paired"):
            LoopbackListener(host, 0).open()


class TestUnix:
    def test_the_same_user_brings_programs(self, closed):
        path = closed / "agent"
        with AgentProcess("--unix", str(path)) as agent, unix_peer(path) as peer:
            assert agent.line.endswith(f" listening on {path}\n")
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert peer.greet().trusted
            bring(peer)
            assert (agent.state / "artifacts" / SHA).read_bytes() == PROGRAM
        assert not path.exists()

    def test_the_uploaded_program_is_what_the_worker_is_given(self, closed):
        path = closed / "agent"
        with AgentProcess("--unix", str(path)) as agent, unix_peer(path) as peer:
            peer.greet()
            bring(peer)
            endless = TimerSettings(interval=1e-6, budget_ms=600_000)
            request = {"layers": (EmptyLayer(1, 1, 1),), "settings": endless, "runtime": "onnx"}
            assert peer.ask(Measure(**request, artifact="0" * 64)).code == "artifact"
            peer.send(Measure(**request, artifact=SHA))
            worker = agent.worker()
            artifact = str(agent.state / "artifacts" / SHA).encode()
            command = Path(f"/proc/{worker}/cmdline")  # the agent's own until it has become another
            assert wait_for(lambda: artifact in command.read_bytes().split(b"\0"))

    def test_another_user_cannot_connect(self, closed):
        if os.geteuid():
            pytest.skip("only root can become another user")
        path = closed / "agent"
        program = (
            "import os, socket, sys; os.setuid(65534)\n"
            "socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
        )
        with AgentProcess("--unix", str(path)):
            run = subprocess.run(
                [sys.executable, "-c", program, str(path)], capture_output=True, check=False
            )
        assert b"PermissionError" in run.stderr

    def test_an_open_folder_is_refused(self, tmp_path):
        tmp_path.chmod(0o755)
        with pytest.raises(UnsafeAddressError, match="others could reach it"):
            UnixListener(tmp_path / "agent").open()

    def test_a_killed_agent_leaves_a_socket_that_the_next_one_replaces(self, closed):
        path = closed / "agent"
        with AgentProcess("--unix", str(path)) as agent:
            agent.kill()
        assert path.exists()
        with AgentProcess("--unix", str(path)):
            with pytest.raises(PortInUseError, match="in use"):
                UnixListener(path).open()
            with AgentDevice("board", UnixEndpoint(path)) as device:
                assert not device.status().busy

    @pytest.mark.parametrize("name", ["missing/agent", "x" * 200])
    def test_a_path_that_cannot_be_is_said(self, closed, name):
        with pytest.raises(PortInUseError, match="cannot listen on"):
            UnixListener(closed / name).open()


class TestTls:
    @pytest.fixture
    def host(self):
        return make_key_pair("laptop")

    @pytest.fixture
    def board(self, tmp_path, host):
        """A paired board's agent; `endpoint` reaches it as the paired host does."""
        state = tmp_path / "state"
        pair = write_identity(state)
        let_in(state, host.certificate)
        with AgentProcess(
            *("--host", "127.0.0.1", "--runtime", "onnx", "--lease-s", "4"), state=state
        ) as agent:
            agent.certificate = pair.certificate
            yield agent

    @pytest.fixture
    def reach(self, board, tmp_path):
        def endpoint(host, *, certificate=None, pinned=None):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.load_verify_locations(cadata=certificate or board.certificate)
            if host:
                path = tmp_path / f"{id(host)}.pem"
                write_private(path, host.certificate + host.key)
                context.load_cert_chain(path)
            pinned = pinned or fingerprint(board.certificate)
            return TlsEndpoint("127.0.0.1", board.port, context, pinned)

        return endpoint

    def test_a_paired_host_measures_and_brings_programs(self, board, reach, host):
        with reach(host).connect(30) as connection:
            peer = Peer(connection)
            welcome = peer.greet()
            assert welcome.trusted
            assert (welcome.device_id, welcome.name) == (BOARD_ID, "pi0")
            description = peer.ask(Describe())
            assert (description.device_id, description.name) == (BOARD_ID, "pi0")
            bring(peer)
        layers = [EmptyLayer(1, 1, 1)] * 20
        with AgentDevice("pi0", reach(host)) as device:
            rows = device.measure(layers, QUICK)
            next(rows)
            time.sleep(5.0)  # longer than the lease: a thread gives signs of life meanwhile
            assert len(list(rows)) == 19

    def test_reading_and_signs_of_life_do_not_disturb_each_other(self, board, reach, host):
        """Requests and answers, while another thread writes all the time."""
        with AgentDevice("pi0", reach(host)) as device:
            stream = device._connection._stream
            alive = encode(Alive())
            done = threading.Event()

            def beat():
                while not done.is_set():
                    stream.write(alive)
                    time.sleep(0.0002)

            thread = threading.Thread(target=beat)
            thread.start()
            try:
                for _ in range(100):
                    assert not device.status().busy
            finally:
                done.set()
                thread.join()

    def test_a_stranger_reads_no_frame_and_is_told_to_pair(self, board, reach):
        for stranger in (make_key_pair("stranger"), make_key_pair("laptop"), None):
            with pytest.raises(REFUSED, match="metanas-profile pair"):
                AgentDevice("pi0", reach(stranger))

    def test_another_board_in_its_place_is_refused(self, board, reach, host):
        other = make_key_pair("pi0").certificate
        with pytest.raises(UntrustedError, match="its certificate differs"):
            AgentDevice("pi0", reach(host, certificate=other))
        with pytest.raises(UntrustedError, match="its certificate differs"):
            AgentDevice("pi0", reach(host, pinned=fingerprint(other)))

    def test_a_host_that_speaks_no_tls_hears_nothing(self, board):
        with raw_connection(board.port) as peer:
            peer.socket.sendall(b"\0\0\0\x0f\x81\xa4type\xa8describe")
            answer = b""
            while piece := peer.socket.recv(100):
                answer += piece
            assert b"type" not in answer
        with pytest.raises(AgentUnreachableError):
            AgentDevice("pi0", TcpEndpoint("127.0.0.1", board.port))

    def test_a_host_is_unpaired_while_the_agent_runs(self, board, reach, host):
        with AgentDevice("pi0", reach(host)) as device:
            assert not device.status().busy
        (board.state / "hosts" / f"{fingerprint(host.certificate)}.pem").unlink()
        with pytest.raises(REFUSED, match="metanas-profile pair"):
            AgentDevice("pi0", reach(host))

    def test_busy_names_the_paired_host_whatever_it_says_of_itself(self, board, reach, host):
        with reach(host).connect(30) as connection, reach(host).connect(30) as second:
            peer, other = Peer(connection), Peer(second)
            peer.greet(host="the queen")
            peer.send(Measure(layers=(EmptyLayer(1, 1, 1),) * 500, settings=QUICK, runtime="onnx"))
            assert isinstance(peer.receive(), Row)
            other.greet()
            busy = other.ask(Offer(sha256=SHA, size_bytes=1))
            assert (busy.type, busy.holder) == ("busy", "laptop")

    def test_without_a_paired_host_it_listens_on_loopback_and_trusts_nobody(self, tmp_path):
        write_identity(tmp_path / "state")
        with (
            AgentProcess(state=tmp_path / "state") as agent,
            raw_connection(agent.port) as peer,
        ):
            assert " listening on 127.0.0.1:" in agent.line
            assert not peer.greet().trusted

    def test_once_paired_it_listens_everywhere(self, tmp_path, host):
        write_identity(tmp_path / "state")
        let_in(tmp_path / "state", host.certificate)
        with AgentProcess("--runtime", "native", state=tmp_path / "state") as agent:
            address = agent.line.split()[-1].rpartition(":")[0]
            assert address in ("[::]", "0.0.0.0")


@contextmanager
def unix_peer(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(path))
        yield Peer(connection)
