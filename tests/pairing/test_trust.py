from __future__ import annotations

import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from metanas.errors import BrokenIdentityError, InsecureKeyError, PairingError
from metanas.pairing import PairedDevice, client_context, host_certificate
from metanas.pairing.certificates import fingerprint, make_key_pair

CERTIFICATE = make_key_pair("pi0").certificate
DEVICE = PairedDevice(
    "0" * 16, "pi0", "127.0.0.1:7431", fingerprint(CERTIFICATE), CERTIFICATE, "", "pi@x:22", ""
)


@pytest.fixture
def identity(host_home: Path) -> Path:
    return host_home / ".config/metanas/identity"


def test_the_first_call_makes_a_key_that_only_we_can_read(identity: Path) -> None:
    certificate = host_certificate()
    assert (identity / "host.pem").read_text() == certificate
    assert stat.S_IMODE((identity / "host.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(identity.stat().st_mode) == 0o700
    assert host_certificate() == certificate
    assert client_context(DEVICE).cert_store_stats()["x509"] == 1


def test_programs_that_start_together_agree_on_one_key(identity: Path) -> None:
    answers: list[str] = []
    together = threading.Barrier(4)

    def ask() -> None:
        together.wait()
        answers.append(host_certificate())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    assert set(answers) == {host_certificate()}
    assert [path.name for path in identity.parent.iterdir()] == ["identity"]


@pytest.mark.parametrize(("name", "mode"), [("host.key", 0o644), ("host.key", 0o620), (".", 0o750)])
def test_a_key_that_others_can_use_is_refused(identity: Path, name: str, mode: int) -> None:
    host_certificate()
    (identity / name).chmod(mode)
    for use in (host_certificate, lambda: client_context(DEVICE)):
        with pytest.raises(InsecureKeyError, match="chmod"):
            use()


@pytest.mark.parametrize("name", ["host.key", "host.pem"])
def test_half_a_key_pair_is_named(identity: Path, name: str) -> None:
    host_certificate()
    (identity / name).unlink()
    with pytest.raises(BrokenIdentityError, match=f"{name} is missing.*move .*identity away"):
        client_context(DEVICE)


def test_a_key_of_another_certificate_is_named(identity: Path) -> None:
    host_certificate()
    (identity / "host.key").write_text(make_key_pair("other").key)
    with pytest.raises(BrokenIdentityError, match=r"move .*identity away") as caught:
        client_context(DEVICE)
    assert "PRIVATE" not in str(caught.value)


def test_a_record_without_a_certificate_is_named(identity: Path) -> None:
    host_certificate()
    with pytest.raises(PairingError, match=r"record of pi0.*metanas-profile pair"):
        client_context(replace(DEVICE, certificate="rubbish"))
