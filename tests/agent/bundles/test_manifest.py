import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas_agent.bundles import FileRecord, Manifest
from metanas_agent.errors import InvalidBundleError

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
RECORDS = st.builds(
    FileRecord, st.from_regex(r"[0-9a-f]{64}", fullmatch=True), st.integers(0, 2**40)
)
CARDS = st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text()))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    name=NAMES,
    version=NAMES,
    files=st.dictionaries(
        NAMES.filter(lambda name: name != "manifest.json"), RECORDS, min_size=1, max_size=5
    ),
    card=CARDS,
)
def test_it_reads_what_it_wrote(name, version, files, card):
    manifest = Manifest(name=name, version=version, files=files, card=card)
    assert Manifest.from_json(manifest.to_json()) == manifest


@given(
    st.fixed_dictionaries(
        {"format": st.just(1)},
        optional={
            "name": JSON | st.just("a"),
            "version": JSON | st.just("1"),
            "files": JSON | st.dictionaries(st.just("f"), JSON, min_size=1),
            "card": JSON | st.just({}),
        },
    )
    | JSON
)
def test_anything_else_is_one_clear_error(values):
    with pytest.raises(InvalidBundleError):
        Manifest.from_json(json.dumps(values).encode())


@given(st.binary())
def test_so_are_bytes(data):
    with pytest.raises(InvalidBundleError):
        Manifest.from_json(data)
