"""A paired agent, as it runs on a board, answers paired hosts over TLS and nobody else."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from metanas.devices import AgentDevice, TcpEndpoint, TlsEndpoint
from metanas.errors import AgentUnreachableError, MetanasError, UntrustedError
from metanas.pairing import PairedDevice, client_context, host_certificate
from metanas.pairing.certificates import KeyPair, fingerprint, make_key_pair
from metanas_agent.messages import Hello
from metanas_agent.protocol import encode
from support.identities import BOARD_ID, let_in, write_identity, write_private

PAST = datetime(2001, 1, 1, tzinfo=UTC), datetime(2002, 1, 1, tzinfo=UTC)
_LISTENING = re.compile(r"metanas-agent \S+ listening on (\S+):(\d+)\n")


@dataclass(frozen=True)
class Agent:
    state: Path
    pair: KeyPair
    address: str
    port: int
    process: subprocess.Popen[str]

    @property
    def device(self) -> PairedDevice:
        certificate = self.pair.certificate
        where = f"127.0.0.1:{self.port}"
        return PairedDevice(
            BOARD_ID, "pi0", where, fingerprint(certificate), certificate, "", "pi@x:22", ""
        )

    def reach(self, device: PairedDevice | None = None) -> str:
        device = device or self.device
        endpoint = TlsEndpoint("127.0.0.1", self.port, client_context(device), device.fingerprint)
        with AgentDevice("pi0", endpoint) as agent:
            return agent.describe().machine


def serve(state: Path) -> Iterator[Agent]:
    pair = write_identity(state)
    let_in(state, host_certificate())
    yield from run(state, pair)


def run(state: Path, pair: KeyPair) -> Iterator[Agent]:
    command = [sys.executable, "-m", "metanas_agent", "serve", "--state", str(state)]
    with subprocess.Popen(
        [*command, "--port", "0", "--runtime", "native"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            match = _LISTENING.fullmatch(process.stdout.readline())
            assert match
            yield Agent(state, pair, match[1], int(match[2]), process)
        finally:
            process.terminate()
            _, complaints = process.communicate()
        assert complaints == ""  # a stranger must not be able to fill a log


@pytest.fixture
def agent(host_home: Path, tmp_path: Path) -> Iterator[Agent]:
    yield from serve(tmp_path / "state")


def exchange(port: int, sent: bytes) -> bytes:
    """All that comes back for these bytes over a plain connection, until it is closed."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        try:
            while chunk := connection.recv(4096):
                answer += chunk
        except ConnectionResetError:
            pass
    return answer


def test_a_paired_host_gets_in(agent: Agent) -> None:
    assert agent.reach()


def test_it_can_be_reached_from_outside(agent: Agent) -> None:
    assert agent.address in ("0.0.0.0", "[::]")


def test_a_plain_connection_gets_no_frame(agent: Agent) -> None:
    hello = encode(Hello(version=(2, 0), program="stranger"))
    for sent in (hello, b"GET / HTTP/1.0\r\n\r\n", b"", bytes(70_000)):
        answer = exchange(agent.port, sent)
        assert not answer or (answer[0] == 0x15 and len(answer) <= 7)  # at most a TLS alert
    with pytest.raises(MetanasError):
        AgentDevice("pi0", TcpEndpoint("127.0.0.1", agent.port))
    assert agent.reach()


def stranger(agent: Agent, pair: KeyPair | None, *, version: ssl.TLSVersion | None = None) -> bytes:
    """What the agent says to a peer with this key pair after its handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.maximum_version = version
    if pair:
        path = agent.state.parent / "stranger.pem"
        write_private(path, pair.certificate + pair.key)
        context.load_cert_chain(path)
    with (
        socket.create_connection(("127.0.0.1", agent.port), timeout=30) as plain,
        context.wrap_socket(plain) as secured,
    ):
        secured.sendall(encode(Hello(version=(2, 0), program="stranger")))
        return secured.recv(4096)


@pytest.mark.parametrize("pair", [None, make_key_pair("laptop"), make_key_pair("pi0")])
def test_a_strangers_certificate_gets_no_frame(agent: Agent, pair: KeyPair | None) -> None:
    with suppress(OSError):  # or a plain end, as far as the agent's TLS gets to say why
        assert stranger(agent, pair) == b""
    assert agent.reach()


def test_no_older_tls_is_spoken(agent: Agent) -> None:
    with pytest.raises(ssl.SSLError):
        stranger(agent, None, version=ssl.TLSVersion.TLSv1_2)


def test_a_host_that_is_unpaired_is_out_at_once(agent: Agent) -> None:
    assert agent.reach()
    for path in (agent.state / "hosts").iterdir():
        path.unlink()
    with pytest.raises((AgentUnreachableError, UntrustedError)):
        agent.reach()


def test_an_expired_certificate_of_a_host_is_refused(agent: Agent, host_home: Path) -> None:
    expired = make_key_pair("laptop", valid=PAST)
    let_in(agent.state, expired.certificate)
    folder = host_home / ".config/metanas/identity"
    write_private(folder / "host.pem", expired.certificate)
    write_private(folder / "host.key", expired.key)
    with pytest.raises((AgentUnreachableError, UntrustedError), match="metanas-profile pair"):
        agent.reach()


def test_another_board_at_the_address_is_refused(agent: Agent) -> None:
    other = make_key_pair("pi0")
    device = replace(
        agent.device, certificate=other.certificate, fingerprint=fingerprint(other.certificate)
    )
    with pytest.raises(UntrustedError, match="not the board that was paired"):
        agent.reach(device)


def test_an_expired_certificate_of_a_board_is_named(host_home: Path, tmp_path: Path) -> None:
    state = tmp_path / "expired"
    pair = write_identity(state, pair=make_key_pair("pi0", valid=PAST))
    let_in(state, host_certificate())
    agents = run(state, pair)
    agent = next(agents)
    with pytest.raises(UntrustedError, match="its certificate has expired"):
        agent.reach()
    assert next(agents, None) is None


def test_no_connection_is_resumed(agent: Agent) -> None:
    """A session ticket would let a host in again without a look at its certificate."""
    context = client_context(agent.device)
    with (
        socket.create_connection(("127.0.0.1", agent.port), timeout=30) as plain,
        context.wrap_socket(plain) as secured,
    ):
        secured.sendall(encode(Hello(version=(2, 0), program="host")))
        assert secured.recv(4)
        assert secured.session is not None
        assert not secured.session.has_ticket


def test_unpaired_it_listens_on_loopback_alone(host_home: Path, tmp_path: Path) -> None:
    """Without an identity, and with one but no host."""
    for name in ("nothing", "no-host"):
        state = tmp_path / name
        pair = write_identity(state) if name == "no-host" else make_key_pair("none")
        agents = run(state, pair)
        assert next(agents).address == "127.0.0.1"
        assert next(agents, None) is None
        elsewhere = [sys.executable, "-m", "metanas_agent", "serve", "--state", str(state)]
        done = subprocess.run(
            [*elsewhere, "--host", "0.0.0.0", "--port", "0"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "no host is paired" in done.stderr


def test_a_key_that_others_can_read_is_not_used(host_home: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    pair = write_identity(state)
    let_in(state, host_certificate())
    (state / "identity/device.key").chmod(0o604)
    done = subprocess.run(
        [sys.executable, "-m", "metanas_agent", "serve", "--state", str(state), "--port", "0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"metanas-agent: others can use .*device\.key.*\n", done.stderr)
    assert not set(pair.key.splitlines()) & set(done.stderr.splitlines())
