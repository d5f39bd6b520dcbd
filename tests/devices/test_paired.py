"""Paired boards, wherever they are: by name, after a move, and with strangers in their place."""

import socket
import ssl
import subprocess
import threading
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from metanas.devices import Address, PairedEndpoint, discover, inventory, open_device
from metanas.errors import (
    AgentUnreachableError,
    AmbiguousDeviceError,
    DeviceProfileError,
    UnknownDeviceError,
    UntrustedError,
)
from metanas.pairing import find_paired, remove, save
from metanas.pairing.certificates import make_key_pair
from metanas_agent.layers import ConvLayer
from metanas_agent.timer import TimerSettings
from support.agent_process import AgentProcess, wait_for
from support.identities import BOARD_ID, let_in, write_identity, write_private
from support.paired_boards import OTHER_ID, pair_by_hand, paired_board

LAYER = ConvLayer(1, 8, 8, out_channels=4, kernel=3, activation="relu", pool=1)
TIMER = TimerSettings(budget_ms=1.0, min_samples=3)
NOWHERE = "127.0.0.1:9"


@pytest.fixture(autouse=True)
def own_config(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@contextmanager
def stranger(folder):
    """Someone with TLS and a certificate of their own, who lets everybody in; its port."""
    pair = make_key_pair("pi0")
    folder.mkdir()
    write_private(folder / "key", pair.key)
    write_private(folder / "certificate", pair.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def answer():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with closing(connection), suppress(OSError):  # they do not like us
                    context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield Address("127.0.0.1", port)
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_is_opened_by_name_id_or_both(tmp_path):
    with paired_board(tmp_path / "board") as (_, board):
        for name in ("pi0", BOARD_ID, f"pi0@{BOARD_ID[:4]}"):
            with closing(open_device(name)) as device:
                assert device.name == "pi0"
                (row,) = device.measure([LAYER], TIMER)
                assert row.key == LAYER.key
        assert find_paired("pi0") == board


def test_two_of_one_name_are_told_apart_by_id(tmp_path):
    with (
        paired_board(tmp_path / "one"),
        paired_board(tmp_path / "two", identifier=OTHER_ID) as (_, two),
    ):
        with pytest.raises(AmbiguousDeviceError, match=f"{BOARD_ID}, {OTHER_ID}"):
            open_device("pi0")
        names = set()
        for name in (BOARD_ID, OTHER_ID, f"pi0@{OTHER_ID[:6]}"):
            with closing(open_device(name)) as device:
                names.add(device.name)
        assert names == {f"pi0@{BOARD_ID[:8]}", f"pi0@{OTHER_ID[:8]}"}
        remove(two)
        with closing(open_device("pi0")) as device:
            assert device.name == "pi0"


def test_a_kind_of_board_is_no_board():
    with pytest.raises(UnknownDeviceError, match="no pi0 is paired") as caught:
        open_device("pi0")
    assert "metanas-profile pair USER@HOST --name pi0" in caught.value.hint


def test_unknown_names_get_the_names_that_there_are(tmp_path):
    pair_by_hand(tmp_path / "board", name="kitchen")
    names = "eyeriss, eyeriss-rs, local, local-cuda, local-native, kitchen"
    with pytest.raises(UnknownDeviceError, match=f"choose from {names},"):
        open_device("bathroom")


def test_a_profile_that_is_no_board_is_named(tmp_path):
    with (
        paired_board(tmp_path / "board", profile="eyeriss"),
        pytest.raises(DeviceProfileError, match="pi0 was paired as a eyeriss"),
    ):
        open_device("pi0")


def test_where_nobody_answers_one_is_told_what_to_do(tmp_path):
    pair_by_hand(tmp_path / "board", address=NOWHERE)
    with pytest.raises(AgentUnreachableError, match=NOWHERE) as caught:
        open_device("pi0")
    assert "metanas-profile pair pi@board:22" in caught.value.hint


def test_a_stranger_at_the_old_address_gets_nothing(tmp_path):
    with stranger(tmp_path / "stranger") as address:
        pair_by_hand(tmp_path / "board", address=str(address))
        with pytest.raises(UntrustedError, match="not the board that was paired"):
            open_device("pi0")
        assert find_paired("pi0").address == str(address)


def test_a_host_that_the_board_has_forgotten_is_told(tmp_path):
    with paired_board(tmp_path / "board") as (agent, _):
        (certificate,) = (agent.state / "hosts").iterdir()
        certificate.unlink()
        let_in(agent.state, make_key_pair("another host").certificate)
        with pytest.raises(AgentUnreachableError, match="it closed the connection") as caught:
            open_device("pi0")
        assert "no longer knows this host: metanas-profile pair pi@board" in caught.value.hint


def test_the_true_board_is_found_among_strangers(tmp_path):
    """Announcements say anything; the certificate decides, and the address is remembered."""
    with (
        paired_board(tmp_path / "board") as (agent, board),
        stranger(tmp_path / "stranger") as liar,
    ):
        moved = replace(board, address=NOWHERE)
        save(moved)
        true = Address("127.0.0.1", agent.port)
        endpoint = PairedEndpoint(moved, search=lambda: [liar, Address("127.0.0.1", 9), true])
        endpoint.connect(5.0).close()
        assert str(endpoint) == str(true)
        assert find_paired("pi0").address == str(true)
        remove(board)
        save(replace(board, id=OTHER_ID, address=NOWHERE))
        PairedEndpoint(moved, search=lambda: [true]).connect(5.0).close()
        assert find_paired(BOARD_ID) is None  # it was unpaired meanwhile, and stays so


def test_a_board_that_moved_is_found_by_multicast(neighbour, tmp_path):
    old, inside = neighbour.address, neighbour.enter()
    new = f"{old}9"
    for change in (["del", f"{old}/24"], ["add", f"{new}/24"]):
        subprocess.run([*inside, "ip", "address", *change, "dev", "eth0"], check=True)
    with paired_board(tmp_path / "board", host=old, prefix=inside) as (agent, board):
        assert board.address == f"{old}:{agent.port}"

        def opened():
            with suppress(AgentUnreachableError):  # the agent first tries its runtimes
                return open_device("pi0")

        with closing(wait_for(opened)) as device:
            assert device.describe().name == "pi0"
        assert find_paired("pi0").address == f"{new}:{agent.port}"


def test_an_address_serves_where_multicast_does_not_reach(neighbour, tmp_path):
    """The board is in another network, behind a router."""
    inside = neighbour.enter()
    away = neighbour.address.replace("10.213.", "10.214.")
    for command in (
        (*inside, "ip", "link", "add", "lan", "type", "veth", "peer", "pc"),
        (*inside, "ip", "address", "add", f"{away}/24", "dev", "lan"),
        (*inside, "ip", "link", "set", "lan", "up"),
        (*inside, "ip", "link", "set", "pc", "up"),
        ("ip", "route", "add", away, "via", neighbour.address),  # goes with the cable
    ):
        subprocess.run(command, check=True)
    with (
        paired_board(tmp_path / "board", "--host", away, host=away, prefix=inside),
        closing(open_device("pi0")) as device,
    ):
        assert device.describe().name == "pi0"
        heard = {address.host for agent in discover(1.0) for address in agent.addresses}
        assert away not in heard


def test_the_inventory_asks_paired_boards_and_believes_no_one_else(neighbour, tmp_path):
    inside = neighbour.enter()
    state, absent = tmp_path / "board", tmp_path / "absent"
    pair_by_hand(absent, name="attic", identifier=OTHER_ID, address=NOWHERE)
    foreign = tmp_path / "foreign"
    write_identity(foreign, "pi0", identifier=BOARD_ID)  # a stranger with the id of a paired board
    let_in(foreign, make_key_pair("another host").certificate)
    with (
        AgentProcess(state=foreign, prefix=inside) as liar,
        paired_board(state, host=neighbour.address, prefix=inside) as (_, it),
    ):
        where = f"{neighbour.address}:{liar.port}"
        ours = ("simulator", "local", "board")
        by_name = wait_for(
            lambda: (
                ("pi0", "stranger")
                in (
                    some := {
                        (entry.name, entry.kind): entry
                        for entry in inventory(1.0).entries
                        if entry.kind in ours or entry.where == where
                    }
                )
                and some
            )
        )
    assert {key for key in by_name if key[1] != "stranger"} == {
        ("eyeriss", "simulator"),
        ("eyeriss-rs", "simulator"),
        ("local", "local"),
        ("local-cuda", "local"),
        ("local-native", "local"),
        ("attic", "board"),
        ("pi0", "board"),
    }
    board, lie = by_name["pi0", "board"], by_name["pi0", "stranger"]
    assert (board.state, board.paired, board.where) == ("free", True, it.address)
    assert (board.id, board.runtimes) == (BOARD_ID, ("onnx",))
    assert (lie.state, lie.paired) == ("not paired", False)
    assert lie.detail == "not pi0, though it says so: its certificate differs"
    attic = by_name["attic", "board"]
    assert (attic.state, attic.paired, attic.runtimes) == ("unreachable", True, ())


def test_a_board_in_whose_place_a_stranger_answers_is_unreachable(tmp_path):
    with stranger(tmp_path / "stranger") as address:
        pair_by_hand(tmp_path / "board", address=str(address))
        (entry,) = [entry for entry in inventory(0.2).entries if entry.paired]
    assert (entry.state, entry.runtimes) == ("unreachable", ())
    assert "its certificate differs" in entry.detail


def test_only_a_paired_agent_loads_what_mdns_needs(tmp_path):
    """The list of its interfaces is read through ctypes, which nothing else in the agent uses."""

    def loads_ctypes(agent):
        return "_ctypes" in Path(f"/proc/{agent.pid}/maps").read_text()

    with (
        AgentProcess("--runtime", "onnx") as agent,
        closing(open_device(str(agent.endpoint))) as it,
    ):
        assert it.describe().runtimes
        assert not loads_ctypes(agent)
    with paired_board(tmp_path / "board") as (agent, _):
        assert wait_for(lambda: loads_ctypes(agent))
