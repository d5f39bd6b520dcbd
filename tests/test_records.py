from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas.records import from_plain


@dataclass(frozen=True)
class Inner:
    share: float
    name: str | None = None


@dataclass(frozen=True)
class Outer:
    count: int
    inner: Inner
    maybe: Inner | None
    several: tuple[Inner, ...] = ()
    by_name: dict[str, int] = field(default_factory=dict)
    flag: bool = False
    anything: Any = None


inners = st.builds(
    Inner, st.floats(allow_nan=False, allow_infinity=False), st.none() | st.text(max_size=5)
)
outers = st.builds(
    Outer,
    st.integers(),
    inners,
    st.none() | inners,
    st.lists(inners, max_size=3).map(tuple),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
    st.booleans(),
    st.none() | st.text(),
)


@given(outers)
def test_what_json_keeps_comes_back(value):
    assert from_plain(Outer, json.loads(json.dumps(asdict(value)))) == value


def test_unknown_fields_are_ignored_and_defaults_fill_in():
    assert from_plain(Inner, {"share": 1, "later": 2}) == Inner(1, None)


GOOD = {"count": 1, "inner": {"share": 0.5}, "maybe": None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 1.5}, "count is '1.5', not an integer"),
        ({"count": True}, "count is 'True', not an integer"),
        ({"inner": {}}, "inner.share is missing"),
        ({"inner": {"share": "1"}}, "inner.share is '1', not a finite number"),
        ({"inner": {"share": float("nan")}}, "inner.share is 'nan', not a finite number"),
        ({"inner": {"share": 10**400}}, "not a finite number"),
        ({"maybe": []}, r"maybe is '\[\]', not an object"),
        ({"several": {"share": 1}}, "several is .*, not a list"),
        ({"several": [{"share": 1}, 2]}, r"several\[1\] is '2', not an object"),
        ({"by_name": {"a": "b"}}, "by_name.a is 'b', not an integer"),
        ({"flag": 1}, "flag is '1', not true or false"),
        ({"inner": {"share": 1, "name": 2}}, "inner.name is '2', not text"),
    ],
)
def test_message_names_the_field(change, message):
    with pytest.raises(ValueError, match=message):
        from_plain(Outer, {**GOOD, **change})


@pytest.mark.parametrize("value", [None, [], 3, "text"])
def test_only_an_object_is_a_record(value):
    with pytest.raises(ValueError, match=r"the file is .*, not an object"):
        from_plain(Outer, value)
