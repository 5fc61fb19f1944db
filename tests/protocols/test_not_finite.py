"""Numbers that JSON has no form for are found outside of texts, and looking for them is cheap."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.protocols.json_values import is_list, is_object
from foretell.protocols.not_finite import not_finite_as

VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8) | st.just('NaN "Infinity'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


def texts_for(value: Any) -> Any:
    """A value in which numbers that are not finite are texts."""
    if isinstance(value, float):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(str(value), value)
    if is_list(value):
        return [texts_for(each) for each in value]
    if is_object(value):
        return {key: texts_for(each) for key, each in value.items()}
    return value


@given(VALUES)
def test_what_python_writes_becomes_json(value: object) -> None:
    body = json.dumps(value).encode()
    written = not_finite_as(body, nan=b'"NaN"', infinity=b'"Infinity"')
    again = body if written is None else written
    assert json.loads(again, parse_constant=pytest.fail) == texts_for(value)


def test_infinities_may_stay() -> None:
    assert not_finite_as(b'[NaN, -Infinity, "NaN"]', nan=b"null") == b'[null, -Infinity, "NaN"]'
    assert not_finite_as(b'["NaN", Infinity]', nan=b"null") is None


@pytest.mark.parametrize(
    "body",
    [b"NaN " * 2_000_000, b'NaN "' + b'\\"' * 4_000_000, b'{"inputs":NaN' + b'""' * 4_000_000, b'NaN "\\'],
    ids=["numbers", "one text", "many texts", "half an escape"],
)
def test_looking_takes_no_time(body: bytes) -> None:
    began = time.process_time()
    not_finite_as(body, nan=b'"NaN"', infinity=b'"Infinity"')
    assert time.process_time() - began < 1
