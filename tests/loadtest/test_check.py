"""An answer is right, or it is said what is wrong with it."""

from __future__ import annotations

import pytest

from foretell.loadtest.check import complaint

RIGHT = (
    b'{"predictions":[{"label":"a","p":[0.25,0.75]}],"model_name":"m","model_version":"1","request_id":"x"}'
)


@pytest.mark.parametrize(
    "told",
    [
        RIGHT,
        RIGHT.replace(b"0.75", b"0.7500001"),
        RIGHT.replace(b":[", b": [ "),
    ],
    ids=["to the byte", "a last bit", "other spaces"],
)
def test_what_is_right(told: bytes) -> None:
    assert complaint(told, (b'{"predictions":[]}', RIGHT)) is None


@pytest.mark.parametrize(
    "told",
    [
        RIGHT.replace(b'"a"', b'"b"'),
        RIGHT.replace(b"0.75", b"0.751"),
        RIGHT.replace(b"0.75", b'"0.75"'),
        RIGHT.replace(b"0.75", b"true"),
        RIGHT.replace(b"0.75", b"null"),
        RIGHT.replace(b",0.75", b""),
        RIGHT.replace(b'"1"', b'"2"'),
        RIGHT.replace(b'"x"', b'"another"'),
        RIGHT.replace(b'"model_name":"m",', b""),
        RIGHT.replace(b"}]", b'}],"degraded":"static"'),
    ],
    ids=[
        "label",
        "number",
        "text",
        "truth",
        "null",
        "short",
        "version",
        "another request",
        "no name",
        "degraded",
    ],
)
def test_what_is_wrong(told: bytes) -> None:
    assert (complaint(told, (RIGHT,)) or "").startswith("wrong: ")


@pytest.mark.parametrize(
    "told", [b"", b"{", b"\xff", b"[" * 100_000], ids=["none", "half", "no text", "deep"]
)
def test_what_is_no_answer_at_all(told: bytes) -> None:
    assert (complaint(told, (RIGHT,)) or "").startswith("no JSON: ")


def test_json_is_not_right_where_binary_data_is() -> None:
    assert (complaint(RIGHT, (b'{"outputs":[]}\x00\x00\x80?',)) or "").startswith("wrong: ")
