import asyncio
import io
from dataclasses import fields

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas_agent import messages
from metanas_agent.errors import (
    FrameTooLargeError,
    InvalidLayerError,
    InvalidSettingsError,
    MeasurementFailedError,
    MetanasError,
    PortInUseError,
    ProtocolError,
    VersionMismatchError,
)
from metanas_agent.layers import ACTIVATIONS, ConvLayer, EmptyLayer, HeadLayer
from metanas_agent.measurement import Measurement
from metanas_agent.messages import MESSAGES, Error, Hello, Measure, RunModel
from metanas_agent.protocol import (
    HELLO_LIMIT_BYTES,
    VERSION,
    check_version,
    decode,
    encode,
    read_message,
    receive_message,
)
from metanas_agent.timer import TimerSettings
from metanas_agent.wire import Tensor

texts = st.text(max_size=50)
counts = st.integers(0, 2**53)
sides = st.integers(1, 300)
layers = st.one_of(
    st.builds(EmptyLayer, sides, sides, sides),
    st.builds(HeadLayer, sides, sides, sides, pool=st.just(1), ways=sides),
    st.builds(
        ConvLayer,
        sides,
        sides,
        sides,
        out_channels=sides,
        kernel=st.sampled_from([1, 3, 5, 7]),
        stride=sides,
        activation=st.sampled_from([*ACTIVATIONS, "none"]),
        pool=sides,
    ),
)
times = st.floats(0, 1e6)
maybe = st.none() | st.floats(-100, 1e5)


@st.composite
def measurements(draw):
    low, median, high = sorted(draw(st.tuples(times, times, times)))
    return Measurement(
        key=draw(texts),
        median_ms=median,
        low_ms=low,
        high_ms=high,
        p10_ms=draw(times),
        p90_ms=draw(times),
        samples=draw(st.integers(1, 10**6)),
        repeats=draw(st.integers(1, 10**6)),
        source=draw(st.sampled_from(["measured", "simulated"])),
        runtime=draw(texts),
        runtime_version=draw(texts),
        clock_mhz_before=draw(maybe),
        clock_mhz_after=draw(maybe),
        temperature_c=draw(maybe),
        throttled=draw(st.none() | st.integers(0, 2**20)),
        verdict=draw(st.sampled_from(["trusted", "noisy", "throttled"])),
        reason=draw(texts),
    )


@st.composite
def tensors(draw):
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    count = 1
    for side in shape:
        count *= side
    return Tensor(draw(st.binary(min_size=4 * count, max_size=4 * count)), shape)


settings = st.builds(
    TimerSettings,
    interval=st.floats(0.001, 0.9),
    budget_ms=st.floats(0.1, 1e6),
    min_samples=st.integers(1, 1000),
    sample_ms=st.floats(0.001, 100),
    core=st.none() | st.integers(0, 200),
    seed=st.integers(0, 2**63 - 1),
)
versions = st.tuples(st.integers(0, 100), st.integers(0, 100))
by_annotation = {
    "str": texts,
    "int": counts,
    "int | None": st.none() | counts,
    "float": st.floats(0, 1e9),
    "bytes": st.binary(max_size=200),
    "dict[str, str]": st.dictionaries(texts, texts, max_size=4),
    "tuple[LayerSpec, ...]": st.lists(layers, max_size=4).map(tuple),
    "Measurement": measurements(),
    "Tensor": tensors(),
    "TimerSettings": settings,
    "Version": versions,
}
any_message = st.one_of(
    st.builds(
        kind,
        **{field.name: by_annotation[field.type] for field in fields(kind)},
    )
    for kind in MESSAGES.values()
)


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


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


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
    assert decode(encode(read)[4:]) == read


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
    needed = [field.name for field in fields(kind) if field.name != "hint"]
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
        asyncio.run(_receive(b"\xff\xff\xff\xff", limit_bytes=HELLO_LIMIT_BYTES))
    images = Tensor(b"\0" * 4000, (1000,))
    request = RunModel(model=b"", inputs=images, settings=TimerSettings(), runtime="onnx")
    with pytest.raises(FrameTooLargeError, match="fewer images"):
        encode(request, limit_bytes=1000)


def test_an_error_survives_the_journey():
    sent = MeasurementFailedError("it broke", hint="mend it")
    arrived = decode(encode(Error.of(sent))[4:]).exception()
    assert type(arrived) is MeasurementFailedError
    assert (arrived.what, arrived.hint) == ("it broke", "mend it")


def test_an_error_of_a_kind_that_the_protocol_does_not_name_is_a_plain_one():
    arrived = Error.of(PortInUseError("x" * 9000)).exception()
    assert type(arrived) is MetanasError
    assert Error(code="of tomorrow", what="new").exception().what == "new"


def test_versions_of_one_major_agree():
    check_version((VERSION[0], VERSION[1] + 7), us="host", them="agent")


@pytest.mark.parametrize(
    ("us", "them", "peer", "older"),
    [
        ("host", "agent", (VERSION[0] + 1, 2), "host"),
        ("host", "agent", (VERSION[0] - 1, 2), "agent"),
        ("agent", "host", (VERSION[0] + 1, 2), "agent"),
    ],
)
def test_another_major_names_both_versions_and_what_to_upgrade(us, them, peer, older):
    with pytest.raises(VersionMismatchError) as caught:
        check_version(peer, us=us, them=them)
    assert f"{VERSION[0]}.{VERSION[1]}" in caught.value.what
    assert f"{peer[0]}.{peer[1]}" in caught.value.what
    assert caught.value.hint.startswith(f"upgrade the {older}")


async def _receive(data, **options):
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await receive_message(reader, **options)
