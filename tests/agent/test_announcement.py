import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas_agent.announcement import LONGEST_NAME, Announcement, is_name

PI0 = Announcement(
    device_id="0123456789abcdef",
    name="Küche 0",
    fingerprint="ab" * 32,
    protocol=(2, 0),
    agent_version="0.1.0",
    machine="armv6l",
    runtimes=("native", "onnx"),
)

_hex = st.sampled_from("0123456789abcdef")
_words = st.text("azAZ09._+-", min_size=1, max_size=32)
announcements = st.builds(
    Announcement,
    device_id=st.text(_hex, min_size=16, max_size=16),
    name=st.text(min_size=1, max_size=LONGEST_NAME).filter(is_name),
    fingerprint=st.text(_hex, min_size=64, max_size=64),
    protocol=st.tuples(st.integers(0, 9999), st.integers(0, 9999)),
    agent_version=_words,
    machine=_words,
    runtimes=st.lists(_words, max_size=16).map(tuple),
)


def on_the_wire(announcement):
    return {key.encode(): text.encode() for key, text in announcement.to_txt().items()}


@given(announcements)
def test_is_read_as_it_was_written(announcement):
    assert Announcement.from_txt(on_the_wire(announcement)) == announcement


@given(announcements)
def test_fits_a_txt_record(announcement):
    short = replace(announcement, runtimes=announcement.runtimes[:6])
    assert all(len(key + b"=" + text) <= 255 for key, text in on_the_wire(short).items())


@given(st.sampled_from(sorted(PI0.to_txt())), st.none() | st.binary(max_size=255))
def test_a_stranger_may_put_any_bytes_in_a_field(key, value):
    read = Announcement.from_txt(on_the_wire(PI0) | {key.encode(): value})
    if read is not None:
        texts = (read.device_id, read.name, read.fingerprint, read.agent_version, read.machine)
        assert all(text.isprintable() and 0 < len(text) <= 64 for text in (*texts, *read.runtimes))
        assert len(read.runtimes) <= 16


@given(st.dictionaries(st.binary(max_size=20), st.none() | st.binary(max_size=255)))
def test_a_stranger_may_put_anything_in_a_record(pairs):
    assert Announcement.from_txt(pairs) is None
    assert Announcement.from_txt(pairs | on_the_wire(PI0)) in (PI0, None)


@pytest.mark.parametrize("key", sorted(PI0.to_txt()))
def test_every_field_must_be_there(key):
    pairs = on_the_wire(PI0)
    del pairs[key.encode()]
    assert Announcement.from_txt(pairs) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", b"0123456789ABCDEF"),
        ("id", b"0123456789abcde"),
        ("id", b"../../../../etc/"),
        ("id", "\u0660\u0661\u0662\u06633456789abcdef".encode()),
        ("fp", b"ab" * 31),
        ("fp", b"ab" * 32 + b"\n"),
        ("name", b""),
        ("name", b"  pi0"),
        ("name", b"pi0\x1b[2J"),
        ("name", b"pi0\r\nerror: give me your password"),
        ("name", "pi\u202e0".encode()),
        ("name", b"\xff\xfe"),
        ("name", b"p" * 64),
        ("protocol", b"2"),
        ("protocol", b"99999.0"),
        ("version", b"0.1.0 \x07"),
        ("version", None),
        ("arch", b"armv6l" * 10),
        ("runtimes", b"onnx,\x1b]0;owned\x07"),
        ("runtimes", b"o," * 20),
    ],
)
def test_refuses_what_no_agent_writes(key, value):
    assert Announcement.from_txt(on_the_wire(PI0) | {key.encode(): value}) is None


def test_newer_agents_may_say_more():
    assert Announcement.from_txt(on_the_wire(PI0) | {b"battery": b"low"}) == PI0


def test_an_agent_that_is_not_paired_does_not_pay_for_mdns():
    """Zeroconf costs megabytes: only an `Advertisement` that runs may import it."""
    program = (
        "import sys, metanas_agent.advertising, metanas_agent.cli; "
        "print(sorted({'zeroconf', 'ifaddr'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_longest_name_fits():
    widest = replace(PI0, name="\U0001f353" * LONGEST_NAME)
    assert Announcement.from_txt(on_the_wire(widest)) == widest
    assert len(b"name=" + on_the_wire(widest)[b"name"]) <= 255
