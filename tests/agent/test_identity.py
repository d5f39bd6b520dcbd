from __future__ import annotations

import json
import socket
import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from metanas.pairing.certificates import KeyPair, fingerprint, make_key_pair
from metanas_agent.errors import BrokenIdentityError, InsecureKeyError
from metanas_agent.identity import Identity, load_identity
from support.identities import BOARD_ID, let_in, write_identity, write_private


def greet(identity: Identity, host: KeyPair | None, board: KeyPair, folder: Path) -> str:
    """What a host is told that connects with this key pair: its name, or why it is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=board.certificate)
    if host is not None:
        write_private(folder / "host.pem", host.certificate + host.key)
        context.load_cert_chain(folder / "host.pem")
    ours, theirs = socket.socketpair()
    server = identity.server_context()

    def answer() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True) as secured:
                name = identity.host_name(secured.getpeercert(binary_form=True) or b"")
                secured.sendall(str(name).encode())
        except OSError:
            theirs.close()

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with context.wrap_socket(ours) as secured:
            return secured.recv(100).decode()
    except ssl.SSLError as error:
        return f"refused: {error.reason}"
    finally:
        ours.close()
        thread.join()


def test_a_board_that_was_never_paired_has_none(tmp_path: Path) -> None:
    assert load_identity(tmp_path) is None


def test_identity_is_read_back(tmp_path: Path) -> None:
    pair = write_identity(tmp_path)
    path = let_in(tmp_path, make_key_pair("laptop").certificate)
    identity = load_identity(tmp_path)
    assert identity is not None
    assert (identity.id, identity.name) == (BOARD_ID, "pi0")
    assert identity.fingerprint == fingerprint(pair.certificate)
    assert identity.hosts == (path.stem,)


def test_a_paired_host_gets_in_by_name_and_no_other(tmp_path: Path) -> None:
    board, laptop = write_identity(tmp_path), make_key_pair("laptop")
    let_in(tmp_path, laptop.certificate)
    identity = load_identity(tmp_path)
    assert identity is not None
    assert greet(identity, laptop, board, tmp_path) == "laptop"
    assert greet(identity, make_key_pair("laptop"), board, tmp_path).startswith("refused")
    assert greet(identity, None, board, tmp_path).startswith("refused")


def test_hosts_of_one_name_all_get_in(tmp_path: Path) -> None:
    board, hosts = write_identity(tmp_path), [make_key_pair("laptop") for _ in range(3)]
    for host in hosts:
        let_in(tmp_path, host.certificate)
    identity = load_identity(tmp_path)
    assert identity is not None
    for host in hosts:
        assert greet(identity, host, board, tmp_path) == "laptop"
    assert greet(identity, make_key_pair("laptop"), board, tmp_path).startswith("refused")


def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    board = write_identity(tmp_path)
    past = datetime(2001, 1, 1, tzinfo=UTC), datetime(2002, 1, 1, tzinfo=UTC)
    expired = make_key_pair("laptop", valid=past)
    let_in(tmp_path, expired.certificate)
    identity = load_identity(tmp_path)
    assert identity is not None
    assert greet(identity, expired, board, tmp_path) == "refused: SSLV3_ALERT_CERTIFICATE_EXPIRED"


def test_hosts_come_and_go_while_the_agent_runs(tmp_path: Path) -> None:
    """One context serves all connections of an agent's life."""
    board, laptop = write_identity(tmp_path), make_key_pair("laptop")
    identity = load_identity(tmp_path)
    assert identity is not None
    context = identity.server_context()
    write_private(tmp_path / "host.pem", laptop.certificate + laptop.key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(cadata=board.certificate)
    client.load_cert_chain(tmp_path / "host.pem")

    def gets_in() -> bool:
        ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
        host = client.wrap_bio(ours, theirs)
        agent = context.wrap_bio(theirs, ours, server_side=True)
        for _ in range(4):
            for end in (host, agent):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLError:
                    return False
        return agent.getpeercert(binary_form=True) is not None

    assert not gets_in()
    path = let_in(tmp_path, laptop.certificate)
    assert gets_in()
    path.unlink()
    assert not gets_in()


@pytest.mark.parametrize("path", ["identity/device.key", "identity", "hosts"])
def test_what_others_can_use_is_refused(tmp_path: Path, path: str) -> None:
    write_identity(tmp_path)
    (tmp_path / path).chmod(0o755 if (tmp_path / path).is_dir() else 0o640)
    with pytest.raises(InsecureKeyError, match=f"others can use .*{path}.*chmod") as caught:
        load_identity(tmp_path)
    assert "PRIVATE" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("identity/device.json", "{"),
        ("identity/device.json", "[]"),
        ("identity/device.json", '{"id": 1, "name": "pi0"}'),
        ("identity/device.pem", "rubbish"),
        ("identity/device.pem", make_key_pair("other").certificate),
        ("identity/device.key", "rubbish"),
        ("hosts/abc.pem", make_key_pair("other").certificate),
        ("hosts/abc.pem", "rubbish"),
    ],
)
def test_what_makes_no_sense_is_named(tmp_path: Path, path: str, content: str) -> None:
    write_identity(tmp_path)
    write_private(tmp_path / path, content)
    with pytest.raises(BrokenIdentityError, match=r"pair again") as caught:
        load_identity(tmp_path)
    assert str(tmp_path / path.partition("/")[0]) in str(caught.value)


@pytest.mark.parametrize("name", ["device.json", "device.pem", "device.key"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_identity(tmp_path)
    (tmp_path / "identity" / name).unlink()
    with pytest.raises(BrokenIdentityError, match=name):
        load_identity(tmp_path)


def test_a_key_with_a_password_asks_nobody(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    pair = write_identity(tmp_path)
    key = serialization.load_pem_private_key(pair.key.encode(), password=None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    write_private(tmp_path / "identity/device.key", locked.decode())
    with pytest.raises(BrokenIdentityError):
        load_identity(tmp_path)


def test_more_fields_than_the_agent_knows_do_no_harm(tmp_path: Path) -> None:
    write_identity(tmp_path)
    values = {"id": BOARD_ID, "name": "pi0", "port": 7431, "python": "/usr/bin/python3"}
    write_private(tmp_path / "identity/device.json", json.dumps(values))
    assert load_identity(tmp_path) is not None
