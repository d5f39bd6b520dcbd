"""Discovery over real multicast, between two network namespaces."""

import asyncio
import gc
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from zeroconf import DNSCache, DNSOutgoing, DNSPointer
from zeroconf.const import _CLASS_IN as CLASS_IN
from zeroconf.const import _FLAGS_QR_RESPONSE as FLAGS_QR_RESPONSE
from zeroconf.const import _TYPE_PTR as TYPE_PTR

from metanas.devices import Address, discover
from metanas.devices import discovery as room
from metanas_agent.advertising import Advertisement
from metanas_agent.announcement import SERVICE, Announcement
from support.agent_process import wait_for

SUPPORT = Path(__file__).parents[1] / "support"
IDS = ("0123456789abcdef", "fedcba9876543210")
SAID = {
    "id": IDS[0],
    "name": "pi0",
    "fp": "cd" * 32,
    "protocol": "2.0",
    "version": "0.1.0",
    "arch": "armv6l",
    "runtimes": "native",
}


@contextmanager
def running(neighbour, program, *arguments):
    """A program of ours at the other end of the cable, which ends with its standard input."""
    command = neighbour.enter(sys.executable, str(SUPPORT / program), *map(str, arguments))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"running\n"
        yield process
        process.stdin.close()
        assert process.wait(30) == 0


def announcing(neighbour, *services):
    asked = {"address": neighbour.address, "services": list(services)}
    return running(neighbour, "announcer.py", json.dumps(asked))


@pytest.fixture
def found(neighbour):
    """Finds the agents at the other end of the cable: others may be in the network."""
    network = neighbour.address.rpartition(".")[0]

    def find(timeout_s=0.7):
        agents = discover(timeout_s)
        return [a for a in agents if a.addresses[0].host.startswith(f"{network}.")]

    return find


def test_finds_an_agent_with_all_that_it_says(neighbour, found):
    with running(neighbour, "advertiser.py", IDS[0], "pi0 in the küche", 7431):
        (agent,) = wait_for(found)
    assert agent.addresses == (Address(neighbour.address, 7431),)
    assert agent.announcement == Announcement(
        IDS[0], "pi0 in the küche", "ab" * 32, (2, 0), "0.1.0", "armv6l", ("native", "onnx")
    )


def test_an_agent_that_stops_says_goodbye(neighbour, found):
    with running(neighbour, "advertiser.py", IDS[0], "pi0", 7431):
        assert wait_for(found)
    assert found() == []


def test_two_boards_of_one_name_are_two(neighbour, found):
    with (
        running(neighbour, "advertiser.py", IDS[0], "pi0", 7431),
        running(neighbour, "advertiser.py", IDS[1], "pi0", 7432),
    ):
        agents = wait_for(lambda: len(both := found()) == 2 and both)
    assert {
        (a.announcement.name, a.announcement.device_id, a.addresses[0].port) for a in agents
    } == {
        ("pi0", IDS[0], 7431),
        ("pi0", IDS[1], 7432),
    }


def test_an_address_that_comes_late_or_changes_is_announced(neighbour, found):
    """A board starts its agent before its network, and may get another address any day."""
    first, second = neighbour.address, neighbour.address[:-1] + "77"
    ip = (*neighbour.enter("ip", "address"),)
    subprocess.run([*ip, "del", f"{first}/24", "dev", "eth0"], check=True)
    with running(neighbour, "advertiser.py", IDS[0], "pi0", 7431):
        assert found() == []
        subprocess.run([*ip, "add", f"{first}/24", "dev", "eth0"], check=True)
        assert [a.addresses for a in wait_for(found)] == [(Address(first, 7431),)]
        subprocess.run([*ip, "del", f"{first}/24", "dev", "eth0"], check=True)
        subprocess.run([*ip, "add", f"{second}/24", "dev", "eth0"], check=True)
        now = (Address(second, 7431),)
        assert wait_for(lambda: [a.addresses for a in found()] == [now])


NONSENSE = (
    {"name": "pi0\x1b[2J\x1b]0;owned\x07"},
    {"name": "\xff\xfe"},
    {"name": "x" * 250},
    {"id": "../../../../etc/"},
    {"fp": "none"},
    {"runtimes": "o," * 120},
    {"protocol": ""},
)
WILD_NAMES = ("a.b\\c", "ü" * 20, "x" * 63)


def test_nonsense_of_strangers_is_passed_over(neighbour, found):
    services = [
        *({"name": f"n{n}", "port": 1, "txt": SAID | some} for n, some in enumerate(NONSENSE)),
        *({"name": name, "port": 2, "txt": SAID} for name in WILD_NAMES),
    ]
    with announcing(neighbour, *services):
        agents = wait_for(lambda: len(few := found()) == len(WILD_NAMES) and few)
        assert {a.addresses for a in agents} == {(Address(neighbour.address, 2),)}
        assert len(found(timeout_s=1.0)) == len(WILD_NAMES)


def test_two_who_claim_one_id_are_both_shown(neighbour, found):
    services = [
        {"name": "true", "port": 1, "txt": SAID},
        {"name": "false", "port": 2, "txt": SAID | {"fp": "ee" * 32}},
    ]
    with announcing(neighbour, *services):
        agents = wait_for(lambda: len(both := found()) == 2 and both)
    assert {a.announcement.fingerprint[:2] for a in agents} == {"cd", "ee"}


def test_a_flood_of_agents_is_cut_off(neighbour, found, monkeypatch):
    monkeypatch.setattr(room, "_MOST_AGENTS", 5)
    services = [{"name": f"s{n}", "port": n, "txt": SAID} for n in range(1, 40)]
    with announcing(neighbour, *services):
        wait_for(lambda: len(found()) == 5)
        assert len(found()) <= 5


def test_packets_that_no_responder_sends_do_no_harm(neighbour, found):
    with running(neighbour, "advertiser.py", IDS[0], "pi0", 7431):
        assert wait_for(found)
        with noise(neighbour.host_address):
            assert wait_for(lambda: [a.addresses[0].port for a in found()] == [7431])


@contextmanager
def noise(address):
    """Someone sends half packets, wrong packets, and names that a terminal would obey."""
    over = threading.Event()
    stranger = threading.Thread(target=send_noise, args=(address, over))
    stranger.start()
    try:
        yield
    finally:
        over.set()
        stranger.join()


def send_noise(address, over):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        interface = socket.inet_aton(address)
        stranger.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
        for number in itertools.takewhile(lambda _: not over.wait(0.002), itertools.count()):
            answer = DNSOutgoing(FLAGS_QR_RESPONSE)
            name = f"\x1b[31m{number % 50}.{SERVICE}"
            answer.add_answer_at_time(DNSPointer(SERVICE, TYPE_PTR, CLASS_IN, 60, name), 0)
            (packet,) = answer.packets()
            wrong = bytes((number * step) % 251 for step in range(1, 1 + number % 60))
            for data in (packet, packet[: number % len(packet)], packet[:12] + wrong, wrong):
                stranger.sendto(data, ("224.0.0.251", 5353))


def test_an_agent_forgets_what_others_announce(neighbour):
    """Zeroconf keeps up to 10,000 records: too much for a small board."""

    async def announce():
        return Announcement(IDS[1], "pi0", "ab" * 32, (2, 0), "0.1.0", "armv6l", ("native",))

    def caches():
        return [thing for thing in gc.get_objects() if type(thing) is DNSCache]

    old = caches()  # left over from discoveries before

    def kept():
        new = (cache for cache in caches() if not any(cache is one for one in old))
        pointers = [one for cache in new for one in cache.entries_with_name(SERVICE)]
        return sum(one.alias.startswith("\x1b") for one in pointers)

    async def advertise():
        host = neighbour.host_address
        async with Advertisement(announce, 7431, host=host, look_again_s=0.2):
            with noise(host):
                while kept() < 10:
                    await asyncio.sleep(0.02)
            while kept():
                await asyncio.sleep(0.02)

    asyncio.run(asyncio.wait_for(advertise(), 30))


def test_a_machine_without_network_says_so():
    program = "from metanas.devices import discover; discover(0.1)"
    command = ["unshare", "--net", sys.executable, "-c", program]
    if os.geteuid():
        command.insert(1, "--map-root-user")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.stderr.startswith("unshare"):
        pytest.skip(done.stderr)
    assert done.returncode == 1
    assert "DiscoveryError: cannot look for agents by multicast" in done.stderr


def test_listening_takes_as_long_as_it_was_told():
    before = time.monotonic()
    discover(0.3)
    assert time.monotonic() - before >= 0.3
