from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas.pairing.certificates import make_key_pair
from metanas.pairing.install import NAME, BoardIdentity

CERTIFICATE = make_key_pair("pi0").certificate
GOOD: dict[str, Any] = {
    "id": "0123456789abcdef",
    "name": "pi0",
    "port": 7431,
    "python": "/usr/bin/python3",
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def test_identity_is_read_back() -> None:
    identity = BoardIdentity.read(json.dumps(GOOD).encode(), CERTIFICATE.encode())
    assert identity == BoardIdentity(**GOOD, certificate=CERTIFICATE)
    assert BoardIdentity.read(identity.device_json(), CERTIFICATE.encode()) == identity


@given(field=st.sampled_from(sorted(GOOD)), value=json_values)
def test_whatever_a_board_says_is_checked(field: str, value: Any) -> None:
    """A name becomes a file name here; a malicious board must not choose where."""
    said = json.dumps({**GOOD, field: value}).encode()
    try:
        identity = BoardIdentity.read(said, CERTIFICATE.encode())
    except (ValueError, TypeError):
        return
    assert NAME.fullmatch(identity.name)
    assert len(identity.id) == 16
    assert 0 < identity.port < 65_536


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "../../etc/passwd"),
        ("name", ""),
        ("name", "a\nb"),
        ("id", "0123456789abcdeg"),
        ("id", "../x"),
        ("port", True),
        ("port", 0),
        ("port", "7431"),
        ("python", "python3; rm -rf"),
        ("more", 1),
    ],
)
def test_what_makes_no_sense_is_refused(field: str, value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        BoardIdentity.read(json.dumps({**GOOD, field: value}).encode(), CERTIFICATE.encode())


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_rubbish_is_refused(device_json: bytes, certificate: bytes) -> None:
    with pytest.raises((ValueError, TypeError)):
        BoardIdentity.read(device_json, certificate)
