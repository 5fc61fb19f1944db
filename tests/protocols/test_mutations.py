"""Whatever is done to a request, it is answered or refused; nothing else ever happens."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.errors import InvalidInputError, MalformedError
from foretell.protocols.codec import Codec
from foretell.protocols.json_values import is_list, is_object
from foretell.signature import BATCH, Signature, Tensor
from tests.parser.signatures import ODD_NAMES, PREDICTION, column, nested
from tests.protocols.codecs import native, record, simple, simple_batch

MIXED = Signature(
    (
        Tensor("numbers", "float32", (BATCH, 4)),
        Tensor("texts", "string", (BATCH,)),
        Tensor("big", "uint64", (BATCH, 1)),
    ),
    (PREDICTION,),
    (
        column("a", "float32", "numbers", missing="nan"),
        column("a.b", "int8", "numbers", minimum=-5, maximum=5),
        column("features", "bool", "numbers", missing="nan"),
        column("inputs", "int64", "numbers"),
        column("a[0]", "string", "texts", missing="empty", categories=("u", "v")),
        column("instances", "uint64", "big"),
    ),
    enforce=("ranges", "categories"),
)
ROW = [1.5, 2, True, 3, "u", 2**64 - 1]
RECORD = dict(zip([each.name for each in MIXED.columns], ROW, strict=True))
SINGLE = Signature(
    (Tensor("x", "float16", (BATCH, 1)),), (PREDICTION,), (column("a", "float16", "x", missing="nan"),)
)
NESTED = nested((None, "k", 2), (None, "k"), (None, 1))
FLAT = nested((None, 1), dtype="uint64")
CUBE = [[1, 2], [3, 4]], [5, 6], [7]

BODIES: list[tuple[Codec, Any]] = [
    (native(MIXED), {"instances": [ROW, RECORD]}),
    (native(MIXED), {"inputs": {name: [value, value] for name, value in RECORD.items()}}),
    (simple(MIXED), {"features": RECORD}),
    (simple(MIXED), {"features": ROW}),
    (simple_batch(MIXED), {"instances": [RECORD, ROW]}),
    (native(SINGLE), {"instances": [1, [2], {"a": None}]}),
    (native(SINGLE), {"inputs": [[1], [None]]}),
    (simple(SINGLE), {"features": 1.5}),
    (native(NESTED), {"instances": [CUBE, {"p": CUBE[0], "q": CUBE[1], "r": CUBE[2]}]}),
    (native(NESTED), {"inputs": {"p": [CUBE[0]], "q": [CUBE[1]], "r": [CUBE[2]]}}),
    (simple(NESTED), {"features": CUBE}),
    (native(FLAT), {"instances": [1, [2], {"p": [3]}]}),
    (native(FLAT), {"inputs": [[1], [2]]}),
    (native(nested(())), {"inputs": {"p": 1.5}}),
]

NUMBERS = st.sampled_from(
    [0, -1, 300, 2**63, 2**64, -(2**64), 10**30, 10**39, 10**400, 1e39, 65520.0, -0.0, 1e-320]
)
KEYS = st.sampled_from([*ODD_NAMES, " - at `$[", "x` - at `$[9]", "", "\ud800", '"', "a.", "$.inputs[0]"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats() | st.integers() | st.text(max_size=3) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def _mutate(draw: st.DrawFn, value: Any) -> Any:
    """The same with a change somewhere inside."""
    if not value or draw(st.integers(0, 3)) == 0:
        return draw(VALUES)
    action = draw(st.sampled_from(["inside", "inside", "inside", "drop", "add", "repeat"]))
    if is_object(value):
        name = draw(st.sampled_from([*value]))
        if action == "inside":
            return {**value, name: _mutate(draw, value[name])}
        if action == "drop":
            return {other: value[other] for other in value if other != name}
        return {**value, draw(KEYS): draw(VALUES)}
    if is_list(value):
        at = draw(st.integers(0, len(value) - 1))
        put: dict[str, list[Any]] = {"drop": [], "repeat": [value[at]] * 2}
        if action == "inside":
            put[action] = [_mutate(draw, value[at])]
        elif action == "add":
            put[action] = [draw(VALUES), value[at]]
        return [*value[:at], *put[action], *value[at + 1 :]]
    return draw(VALUES)


@st.composite
def changed_values(draw: st.DrawFn) -> tuple[Codec, bytes]:
    """A request that is still JSON, or nearly: a NaN or half a surrogate may stand in it."""
    codec, body = draw(st.sampled_from(BODIES))
    for _ in range(draw(st.integers(1, 3))):
        body = _mutate(draw, json.loads(json.dumps(body)))
    return codec, json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


@st.composite
def changed_bytes(draw: st.DrawFn) -> tuple[Codec, bytes]:
    """A request with bytes taken away, put in or replaced."""
    codec, body = draw(st.sampled_from(BODIES))
    text = json.dumps(body).encode()
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.sampled_from([start, start + 1, start + 5, len(text)]))
        text = (
            text[:start]
            + draw(st.binary(max_size=3) | st.sampled_from([b"[", b"{", b'"', b"NaN", b"9", b"\\u"]))
            + text[end:]
        )
    return codec, text


def _check(codec: Codec, body: bytes) -> None:
    with contextlib.suppress(MalformedError, InvalidInputError):
        request, _ = codec.decode(body, record())
        assert all(tensor.flags.c_contiguous for tensor in request.inputs.values())
        for tensor in request.inputs.values():
            if tensor.dtype.kind == "f":
                assert not np.isinf(tensor).any()
            if tensor.dtype == object:
                assert all(isinstance(value, str) for value in tensor.ravel())


@given(request_=changed_values())
@settings(deadline=None, max_examples=600)
def test_changed_values_are_answered_or_refused(request_: tuple[Codec, bytes]) -> None:
    _check(*request_)


@given(request_=changed_bytes())
@settings(deadline=None, max_examples=600)
def test_changed_bytes_are_answered_or_refused(request_: tuple[Codec, bytes]) -> None:
    _check(*request_)
