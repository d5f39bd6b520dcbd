import asyncio
import io
from dataclasses import MISSING, fields, replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas_agent import messages
from metanas_agent.errors import (
    CorruptFrameError,
    FrameTooLargeError,
    InvalidLayerError,
    InvalidSettingsError,
    MeasurementFailedError,
    MetanasError,
    PortInUseError,
    ProtocolError,
    VersionMismatchError,
)
from metanas_agent.layers import EmptyLayer
from metanas_agent.measurement import Measurement
from metanas_agent.messages import MESSAGES, Error, Hello, Measure, RunModel
from metanas_agent.protocol import (
    HELLO_LIMIT_BYTES,
    VERSION,
    agreed_major,
    decode,
    encode,
    read_message,
    receive_message,
)
from metanas_agent.timer import TimerSettings
from metanas_agent.wire import Tensor
from support import recorded
from support.any_message import any_message, plain, texts


@given(any_message)
def test_a_message_round_trips(message):
    assert read_message(io.BytesIO(encode(message))) == message


@given(st.lists(any_message, max_size=4))
def test_frames_follow_each_other(sent):
    stream = io.BytesIO(b"".join(map(encode, sent)))
    received = []
    while (message := read_message(stream)) is not None:
        received.append(message)
    assert received == sent


@given(any_message, st.data())
def test_a_truncated_frame_is_said_to_be(message, data):
    frame = encode(message)
    cut = data.draw(st.integers(1, len(frame) - 1))
    with pytest.raises(ProtocolError, match="ended inside a frame"):
        read_message(io.BytesIO(frame[:cut]))


@given(any_message)
def test_asyncio_reads_what_blocking_code_reads(message):
    assert asyncio.run(_receive(encode(message))) == message


def test_asyncio_tells_an_end_from_a_truncation():
    frame = encode(messages.Done())
    assert asyncio.run(_receive(b"")) is None
    for cut in range(1, len(frame)):
        with pytest.raises(ProtocolError, match="ended inside a frame"):
            asyncio.run(_receive(frame[:cut]))


@given(st.binary(max_size=300))
def test_garbage_is_a_protocol_error(garbage):
    with pytest.raises(ProtocolError):
        decode(garbage)


@given(any_message, st.data())
def test_a_field_of_any_other_value_never_passes_unchecked(message, data):
    """Either it is refused with an error of ours, or it is valid: it round-trips."""
    values = message.to_wire()
    name = data.draw(st.sampled_from(sorted(values)))
    values[name] = data.draw(plain)
    try:
        read = decode(msgpack.packb(values))
    except MetanasError:
        return
    assert decode(encode(read)[8:]) == read


@given(any_message, texts, plain)
def test_unknown_fields_are_refused_after_hello(message, name, value):
    values = {name: value, **message.to_wire()}
    if len(values) == len(message.to_wire()):
        return
    if message.extensible:
        assert decode(msgpack.packb(values)) == message
    else:
        with pytest.raises(ProtocolError, match="unknown field"):
            decode(msgpack.packb(values))


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=lambda kind: kind.type)
def test_missing_fields_are_named(kind):
    needed = [field.name for field in fields(kind) if field.default is MISSING]
    if not needed:
        assert decode(msgpack.packb({"type": kind.type})) == kind()
        return
    with pytest.raises(ProtocolError, match=f"{needed[0]} is missing"):
        decode(msgpack.packb({"type": kind.type}))


@pytest.mark.parametrize(
    "values",
    [
        [],
        1,
        None,
        {},
        {"type": "sing"},
        {"type": 3},
        {"type": ["hello"]},
        {"type": {}},
        {1: 2},
        {"type": "done", b"x": 1},
        msgpack.ExtType(5, b"x"),
        {"type": "hello", "version": [1, 0], "program": msgpack.ExtType(5, b"x")},
        {"type": "hello", "version": [1, 0], "program": msgpack.Timestamp(1)},
        {"type": "hello", "version": [1, 0], "program": b"raw bytes are for tensors only"},
        {"type": "hello", "version": [1, True], "program": ""},
        {"type": "hello", "version": [1], "program": ""},
        {"type": "hello", "version": [1, 0], "program": "x" * 5000},
        {"type": "busy", "running_s": float("nan")},
        {"type": "busy", "running_s": -1.0},
    ],
)
def test_what_is_no_message_is_refused(values):
    with pytest.raises(ProtocolError):
        decode(msgpack.packb(values))


def test_deep_nesting_and_false_lengths_are_refused():
    for body in (b"\x91" * 100_000, b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc1"):
        with pytest.raises(ProtocolError):
            decode(body)


def test_invalid_layers_and_settings_keep_their_own_errors():
    request = Measure(layers=(), settings=TimerSettings(), runtime="onnx").to_wire()
    with pytest.raises(InvalidLayerError, match="not a layer"):
        decode(msgpack.packb({**request, "layers": ["conv/0x0x0"]}))
    with pytest.raises(InvalidSettingsError, match="budget_ms"):
        decode(msgpack.packb({**request, "settings": {**request["settings"], "budget_ms": 0}}))


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (1,) * 9])
def test_a_tensor_agrees_with_its_data(shape):
    with pytest.raises(ProtocolError):
        Tensor(b"\0" * 4, shape)


def test_frames_over_the_limit_are_neither_read_nor_sent():
    long = encode(Hello(version=VERSION, program="x" * 4000))
    with pytest.raises(FrameTooLargeError):
        read_message(io.BytesIO(long), limit_bytes=1000)
    with pytest.raises(FrameTooLargeError):
        asyncio.run(_receive(b"\xff" * 8, limit_bytes=HELLO_LIMIT_BYTES))
    images = Tensor(b"\0" * 4000, (1000,))
    request = RunModel(model=b"", inputs=images, settings=TimerSettings(), runtime="onnx")
    with pytest.raises(FrameTooLargeError, match="fewer images"):
        encode(request, limit_bytes=1000)


def test_an_error_survives_the_journey():
    sent = MeasurementFailedError("it broke", hint="mend it")
    arrived = decode(encode(Error.of(sent))[8:]).exception()
    assert type(arrived) is MeasurementFailedError
    assert (arrived.what, arrived.hint) == ("it broke", "mend it")


def test_an_error_of_a_kind_that_the_protocol_does_not_name_is_a_plain_one():
    arrived = Error.of(PortInUseError("x" * 9000)).exception()
    assert type(arrived) is MetanasError
    assert Error(code="of tomorrow", what="new").exception().what == "new"


def test_versions_of_the_window_are_spoken_as_the_peer_asks():
    for peer in ((VERSION[0], 0), (VERSION[0], VERSION[1] + 7), (VERSION[0] - 1, 3)):
        assert agreed_major(peer, us="host", them="agent") == peer[0]


@pytest.mark.parametrize(
    ("us", "them", "peer", "older"),
    [
        ("host", "agent", (VERSION[0] + 1, 2), "host"),
        ("host", "agent", (VERSION[0] - 2, 2), "agent"),
        ("agent", "host", (VERSION[0] + 1, 2), "agent"),
        ("agent", "host", (0, 0), "host"),
    ],
)
def test_versions_outside_the_window_are_named_and_what_to_upgrade(us, them, peer, older):
    with pytest.raises(VersionMismatchError) as caught:
        agreed_major(peer, us=us, them=them, upgrade="metanas-profile pair pi@board")
    assert f"{VERSION[0]}.{VERSION[1]}" in caught.value.what
    assert f"{peer[0]}.{peer[1]}" in caught.value.what
    command = {"agent": "metanas-profile pair pi@board", "host": "pip install --upgrade metanas"}
    assert caught.value.hint == f"upgrade the {older}: {command[older]}"


NOT_IN_PROTOCOL_1 = ("governor", "temperature_c_before", "throttled_before", "energy_mj")


@given(any_message)
def test_towards_an_older_peer_what_is_new_is_left_out(message):
    if message.since > 1:
        with pytest.raises(ProtocolError, match="needs protocol 2"):
            encode(message, major=1)
        with pytest.raises(ProtocolError, match="which has none"):
            decode(msgpack.packb(message.to_wire()), major=1)
        return
    arrived = read_message(io.BytesIO(encode(message, major=1)), major=1)
    for field in fields(message):
        known = message.extensible or field.metadata.get("since", 1) == 1
        expected = getattr(message, field.name) if known else usual(field)
        if isinstance(expected, Measurement):
            expected = replace(expected, **dict.fromkeys(NOT_IN_PROTOCOL_1))
        assert getattr(arrived, field.name) == expected


def usual(field):
    """Its value where nobody gives one."""
    return field.default if field.default_factory is MISSING else field.default_factory()


def test_a_row_of_protocol_1_is_understood():
    row = read_message(io.BytesIO(recorded.ROW), major=1).measurement
    assert (row.key, row.samples, row.method) == ("empty/1x2x3", 6, 1)
    assert row.temperature_c_after is row.throttled_after is None


def test_a_request_of_protocol_1_has_the_bytes_that_it_always_had():
    request = Measure(
        layers=(EmptyLayer(1, 2, 3),), settings=TimerSettings(core=None), runtime="onnx"
    )
    assert encode(request, major=1) == recorded.MEASURE
    assert read_message(io.BytesIO(recorded.MEASURE), major=1) == request
    with pytest.raises(ProtocolError, match="unknown field 'artifact'"):
        decode(msgpack.packb(request.to_wire()), major=1)


@given(any_message, st.data())
def test_a_damaged_frame_is_noticed(message, data):
    frame = bytearray(encode(message))
    bit = data.draw(st.integers(32, 8 * len(frame) - 1))  # behind the length
    frame[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptFrameError, match="damaged on its way"):
        read_message(io.BytesIO(frame))


def test_many_small_things_in_a_frame_are_refused_before_they_fill_the_memory():
    empty_lists = b"\xdc\x4e\x20" + b"\x90" * 20_000
    assert msgpack.unpackb(empty_lists) == [[]] * 20_000
    many = b"\xdc\x00\x10" + 16 * empty_lists
    for body in (many, b"\xdd\x00\x01\x00\x00" + b"\x01" * 65_536, b"\xde\x01\x00" + 512 * b"\xa0"):
        with pytest.raises(ProtocolError, match="not a msgpack frame"):
            decode(body)


async def _receive(data, **options):
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await receive_message(reader, **options)
