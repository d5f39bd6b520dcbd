"""Hypothesis strategies for every message that there is."""

from dataclasses import fields

from hypothesis import strategies as st

from metanas_agent.finding import FINDING_VERDICTS, Finding
from metanas_agent.layers import ACTIVATIONS, ConvLayer, EmptyLayer, HeadLayer
from metanas_agent.measurement import SOURCES, VERDICTS, Measurement
from metanas_agent.messages import MESSAGES
from metanas_agent.timer import CACHES, TimerSettings
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
        source=draw(st.sampled_from(SOURCES)),
        runtime=draw(texts),
        runtime_version=draw(texts),
        clock_mhz_before=draw(maybe),
        clock_mhz_after=draw(maybe),
        governor=draw(st.none() | st.text(min_size=1, max_size=20)),
        temperature_c_before=draw(maybe),
        temperature_c_after=draw(maybe),
        throttled_before=draw(st.none() | st.integers(0, 2**20)),
        throttled_after=draw(st.none() | st.integers(0, 2**20)),
        energy_mj=draw(st.none() | st.floats(0, 1e6)),
        verdict=draw(st.sampled_from(VERDICTS)),
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
    batch=st.integers(1, 1000),
    cache=st.sampled_from(CACHES),
    threads=st.integers(1, 64),
    energy=st.booleans(),
)
findings = st.builds(
    Finding,
    check=texts,
    found=texts,
    verdict=st.sampled_from(FINDING_VERDICTS),
    advice=texts,
    command=texts,
)
versions = st.tuples(st.integers(0, 100), st.integers(0, 100))
by_annotation = {
    "str": texts,
    "bool": st.booleans(),
    "Sha256": st.just("") | st.binary(min_size=32, max_size=32).map(bytes.hex),
    "int": counts,
    "int | None": st.none() | counts,
    "float": st.floats(0, 1e9),
    "bytes": st.binary(max_size=200),
    "dict[str, str]": st.dictionaries(texts, texts, max_size=4),
    "tuple[LayerSpec, ...]": st.lists(layers, max_size=4).map(tuple),
    "tuple[Finding, ...]": st.lists(findings, max_size=4).map(tuple),
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
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)  # fmt: skip
