"""A header that would break the answer it is put into is refused where it is given."""

from __future__ import annotations

from typing import Any

import pytest

from foretell.prediction import RequestRecord


@pytest.fixture
def record() -> RequestRecord:
    return RequestRecord("r", "native", 0)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("x-a", b"b", TypeError, "a name and a value of bytes, not 'x-a' and b'b'"),
        (b"x-a", "b", TypeError, "a name and a value of bytes"),
        (bytearray(b"x-a"), b"b", TypeError, "a name and a value of bytes"),
        (b"X-A", b"b", ValueError, "b'X-A' cannot be a header's name: use lower-case letters"),
        (b"x a", b"b", ValueError, "cannot be a header's name"),
        (b"x-a:", b"b", ValueError, "cannot be a header's name"),
        (b"x-a\r\nset-cookie", b"b", ValueError, "cannot be a header's name"),
        (b"", b"b", ValueError, "cannot be a header's name"),
        (
            b"x-a",
            b"a\r\nset-cookie: evil=1",
            ValueError,
            "the value of the header b'x-a' holds a control character",
        ),
        (b"x-a", b"a\n", ValueError, "holds a control character"),
        (b"x-a", b"a\r", ValueError, "holds a control character"),
        (b"x-a", b"a\0", ValueError, "holds a control character"),
        (b"x-a", b"\x7f", ValueError, "holds a control character"),
        (b"content-length", b"5", ValueError, "is the server's own"),
        (b"transfer-encoding", b"chunked", ValueError, "is the server's own"),
    ],
    ids=str,
)
def test_a_header_that_would_break_the_answer_is_refused(
    record: RequestRecord, name: Any, value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        record.add_header(name, value)
    assert record.answer_headers is None


def test_a_header_takes_the_place_of_one_of_the_same_name(record: RequestRecord) -> None:
    record.add_header(b"x-a", b"1")
    record.add_header(b"x-b", b"\xc3\xa9 \t")
    record.add_header(b"x-a", b"2")
    assert record.answer_headers == [(b"x-a", b"2"), (b"x-b", b"\xc3\xa9 \t")]
