from __future__ import annotations

import hashlib
import ssl
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from metanas.pairing.certificates import fingerprint, make_key_pair


def test_certificate_is_for_one_end_of_a_connection_and_for_ever() -> None:
    pair = make_key_pair("pi0")
    certificate = x509.load_pem_x509_certificate(pair.certificate.encode())
    assert certificate.subject.rfc4514_string() == "CN=pi0"
    assert certificate.issuer == certificate.subject
    assert certificate.not_valid_before_utc.year == 1970
    assert certificate.not_valid_after_utc.year == 9999
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    key = serialization.load_pem_private_key(pair.key.encode(), password=None)
    assert key.public_key() == certificate.public_key()


def test_every_pair_is_new() -> None:
    first, second = make_key_pair("pi0"), make_key_pair("pi0")
    assert first.key != second.key
    assert fingerprint(first.certificate) != fingerprint(second.certificate)


def test_key_is_never_shown() -> None:
    pair = make_key_pair("pi0")
    assert "PRIVATE" not in repr(pair) + str(pair)


def test_fingerprint_is_what_openssl_says() -> None:
    certificate = make_key_pair("pi0").certificate
    command = ["openssl", "x509", "-noout", "-fingerprint", "-sha256"]
    said = subprocess.run(command, input=certificate, capture_output=True, text=True, check=True)
    assert said.stdout.partition("=")[2].strip().replace(":", "").lower() == fingerprint(
        certificate
    )
    der = ssl.PEM_cert_to_DER_cert(certificate)
    assert hashlib.sha256(der).hexdigest() == fingerprint(certificate)
