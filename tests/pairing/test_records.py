from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from metanas.errors import AmbiguousDeviceError, PairingError
from metanas.pairing import PairedDevice, find_paired, paired_devices, remove, save
from metanas.pairing.certificates import fingerprint, make_key_pair

CERTIFICATE = make_key_pair("pi0").certificate
PI0 = PairedDevice(
    id="00112233aabbccdd",
    name="pi0",
    address="10.0.0.2:7431",
    fingerprint=fingerprint(CERTIFICATE),
    certificate=CERTIFICATE,
    profile="pi0",
    ssh="pi@10.0.0.2:22",
    agent_sha256="ab" * 32,
)
TWIN = replace(PI0, id="ffeeddccbbaa0099")
PI4 = replace(PI0, id="0000000000000004", name="pi4", profile="")


@pytest.fixture(autouse=True)
def _home(host_home: Path) -> None:
    pass


def test_nothing_is_paired_at_first() -> None:
    assert paired_devices() == ()
    assert find_paired("pi0") is None


def test_records_are_read_back_sorted_by_name() -> None:
    for device in (PI4, TWIN, PI0):
        save(device)
    assert paired_devices() == (PI0, TWIN, PI4)


def test_a_record_is_replaced_and_removed() -> None:
    save(PI0)
    save(replace(PI0, address="10.0.0.3:7431"))
    assert [device.address for device in paired_devices()] == ["10.0.0.3:7431"]
    remove(PI0)
    remove(PI0)
    assert paired_devices() == ()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("pi4", PI4),
        (PI4.id, PI4),
        ("pi0@0011", PI0),
        ("pi0@ffee", TWIN),
        (TWIN.id, TWIN),
        ("pi0@1234", None),
        ("pi", None),
    ],
)
def test_a_board_is_found_by_name_or_id(name: str, found: PairedDevice | None) -> None:
    for device in (PI0, TWIN, PI4):
        save(device)
    assert find_paired(name) == found


def test_two_boards_of_one_name_are_both_shown() -> None:
    save(PI0)
    save(TWIN)
    with pytest.raises(AmbiguousDeviceError, match=f"{PI0.id}, {TWIN.id}.*pi0@001122"):
        find_paired("pi0")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", json.dumps({"id": PI0.id}), "\xff", '{"id": 1}']
)
def test_a_broken_record_is_named(host_home: Path, content: str) -> None:
    save(PI0)
    path = host_home / ".config/metanas/paired" / f"{PI0.id}.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(PairingError, match=f"{PI0.id}.json.*remove the file"):
        paired_devices()


@pytest.mark.parametrize("identifier", ["../../x", "", "0011", "00112233AABBCCDD", "pi0"])
def test_an_id_that_is_none_never_becomes_a_path(host_home: Path, identifier: str) -> None:
    with pytest.raises(PairingError, match="which is none"):
        save(replace(PI0, id=identifier))
    assert not list(host_home.rglob("*.json"))
