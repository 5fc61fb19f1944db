"""Bodies that hold more than the model can take are refused before they are decoded."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.errors import InvalidInputError
from foretell.parser import Capacity, Parser
from foretell.protocols.codec import Codec
from foretell.protocols.excess import check_excess
from foretell.signature import Signature
from tests.parser.signatures import column, nested, packed, separate
from tests.protocols.codecs import decode, native, refused, simple, simple_batch

TWO = packed(column("age"), column("income"))
TEXTS = packed(column("a", "string"), column("b", "string"), dtype="string")


@pytest.mark.parametrize(
    ("codec", "body"),
    [
        (native(TWO), b'{"instances": [%s]}' % b",".join([b"[1,1]"] * 20_000)),
        (native(TWO), b'{"instances": [%s]}' % b",".join([b'{"age":1,"income":1}'] * 40_000)),
        (native(TWO), b'{"instances": [[%s]]}' % b",".join([b"1"] * 100_000)),
        (native(TWO), b'{"inputs": {"age": [%s]}}' % b",".join([b"1"] * 100_000)),
        (native(TEXTS), b'{"instances": [%s]}' % b",".join([rb'["[,\\\\", "\\""]'] * 20_000)),
        (simple(TWO), b'{"features": [%s]}' % b",".join([b"1"] * 100_000)),
        (simple_batch(TWO), b'{"instances": [%s]}' % b",".join([b"[1,1]"] * 20_000)),
        (native(nested((None, None))), b'{"instances": [%s]}' % b",".join([b"[]"] * 40_000)),
        (native(nested((None, 2))), b'{"instances": [[%s]]}' % b",".join([b"1"] * 100_000)),
        (native(nested((None, None, None))), b'{"instances": [[%s]]}' % b",".join([b"[]"] * 1_100_000)),
    ],
    ids=[
        "rows",
        "records",
        "values of a row",
        "values of a column",
        "texts",
        "values of one row",
        "batch",
        "open rows",
        "values of a closed row",
        "lists of open axes",
    ],
)
def test_more_than_fits_is_refused_after_a_look_at_its_beginning(
    codec: Codec, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    envelope = codec.__dict__["_envelope"]
    decode_body: Any = envelope.__dict__["_decode"]

    def count(part: bytes) -> object:
        decoded.append(len(part))
        return decode_body(part)

    monkeypatch.setattr(envelope, "_decode", count)
    place, message = refused(codec, body)
    assert place == "$"
    assert "or fewer rows" in message
    assert sum(decoded) <= 64 * 1024


@pytest.mark.parametrize(
    ("row", "place", "message"),
    [
        (b"[1,2,3]", "$.instances[0]", "expected 2 values ('age', 'income')"),
        (b'[1,"x"]', "$.instances[0][1]", "expected float, got str"),
        (b"{}", "$.instances[0]", "'age' is missing: expected 'age', 'income'"),
    ],
    ids=["length", "type", "record"],
)
def test_what_is_wrong_at_the_beginning_comes_first(row: bytes, place: str, message: str) -> None:
    body = b'{"instances": [%s]}' % b",".join([row] * 40_000)
    assert refused(native(TWO), body) == (place, message)


FULL: list[tuple[Signature, int, Any]] = [
    (TWO, 30_000, [[1.5, 2]] * 30_000),
    (TWO, 30_000, [{"age": 1.5, "income": 2}] * 30_000),
    (TEXTS, 5_000, [["[,{" * 5, ',\\",[' * 5]] * 5_000),
    (separate(column("only")), 30_000, [{"only": 1}] * 30_000),
    (nested((None, 1)), 30_000, [{"p": [1]}] * 30_000),
    (nested((None, 1)), 40_000, [[1]] * 40_000),
    (nested((None, 2, 2), (None,)), 5_000, [{"p": [[1, 2], [3, 4]], "q": 5}] * 5_000),
    (nested((None, None)), 3, [[1] * 100_000] * 3),
    (nested((None, None, 1)), 3, [[[1]] * 30_000] * 3),
]


@pytest.mark.parametrize(("signature", "max_rows", "rows"), FULL, ids=range(len(FULL)))
def test_a_full_request_is_taken(signature: Signature, max_rows: int, rows: list[Any]) -> None:
    tensors = decode(native(signature, max_rows=max_rows), {"instances": rows})
    assert all(len(tensor) == max_rows for tensor in tensors.values())


@pytest.mark.parametrize("signature", [TWO, nested((None, 2), (None, 1))], ids=["columns", "tensors"])
def test_a_full_column_form_is_taken(signature: Signature) -> None:
    codec = native(signature, max_rows=30_000)
    column_form: dict[str, Any] = (
        {"age": [1] * 30_000, "income": [1] * 30_000}
        if signature.columns
        else {"p": [[1, 2]] * 30_000, "q": [[1]] * 30_000}
    )
    assert all(len(tensor) == 30_000 for tensor in decode(codec, {"inputs": column_form}).values())


@given(
    texts=st.lists(st.text(alphabet='[]{},"\\\\ab', max_size=9), max_size=5),
    ascii_only=st.booleans(),
)
def test_brackets_and_commas_in_texts_do_not_count(texts: list[str], ascii_only: bool) -> None:
    body = json.dumps({"instances": [[text] for text in texts] * 9000}, ensure_ascii=ascii_only).encode()
    rows = len(texts) * 9000
    check_excess(body, Capacity(rows, rows, 2 * rows), msgspec.json.decode)
    if len(body) > 100_000:
        with pytest.raises(InvalidInputError):
            check_excess(body, Capacity(rows // 2, rows // 2, 2 * rows), msgspec.json.decode)


def test_the_capacity_of_one_row_is_that_of_the_simple_protocol() -> None:
    parser = Parser(TWO, max_rows=100)
    assert parser.capacity(1) < parser.capacity()
    assert parser.capacity().rows == 100
