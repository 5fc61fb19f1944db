"""Compressed bodies are read, as far as the limit goes and no further."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from foretell.errors import MalformedError, TooLargeError, UnsupportedMediaError
from foretell.http.coding import accepted_coding, coding_of, compressed, decompressed

TEXT = b'{"instances": [[1, 2]]}' * 50


@pytest.mark.parametrize("value", [b"", b"identity", b"Identity", b"identity, identity", b" , "])
def test_a_body_may_be_as_it_is(value: bytes) -> None:
    assert coding_of(value) is None


@pytest.mark.parametrize(
    ("value", "coding"), [(b"gzip", b"gzip"), (b"GZIP", b"gzip"), (b"identity, deflate", b"deflate")]
)
def test_a_body_may_have_one_coding(value: bytes, coding: bytes) -> None:
    assert coding_of(value) == coding


@pytest.mark.parametrize("value", [b"br", b"gzip, gzip", b"gzip," + b"x" * 10**5], ids=["br", "two", "long"])
def test_another_coding_is_refused(value: bytes) -> None:
    with pytest.raises(
        UnsupportedMediaError, match="use gzip or deflate, or send the body as it is"
    ) as refused:
        coding_of(value)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("coding", "packed"),
    [(b"gzip", gzip.compress(TEXT)), (b"deflate", zlib.compress(TEXT))],
    ids=["gzip", "deflate"],
)
def test_a_body_comes_back(coding: bytes, packed: bytes) -> None:
    assert decompressed(packed, coding, max_bytes=len(TEXT)) == TEXT


@pytest.mark.parametrize("end", [0, 1, 12, -1, -8])
def test_a_body_that_is_cut_short_is_malformed(end: int) -> None:
    with pytest.raises(MalformedError):
        decompressed(gzip.compress(TEXT)[:end], b"gzip", max_bytes=10**6)


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        (b"gzip", b"hello"),
        (b"deflate", b"hello"),
        (b"deflate", zlib.compress(TEXT) + b"x"),
        (b"gzip", gzip.compress(TEXT, mtime=0) + b"x"),
    ],
    ids=["no gzip", "no deflate", "more behind deflate", "more behind gzip"],
)
def test_what_is_not_what_it_is_said_to_be_is_malformed(coding: bytes, packed: bytes) -> None:
    with pytest.raises(MalformedError):
        decompressed(packed, coding, max_bytes=10**6)


def test_a_bomb_is_refused_before_it_has_gone_off() -> None:
    bomb = gzip.compress(bytes(200 * 1024**2), 1)
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError, match="more than 1000 bytes when decompressed"):
            decompressed(bomb, b"gzip", max_bytes=1000)
        assert tracemalloc.get_traced_memory()[1] < 10 * 1024**2
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("value", "coding"),
    [
        (b"", None),
        (b"gzip", b"gzip"),
        (b"deflate, GZIP", b"gzip"),
        (b"br, deflate;q=0.5", b"deflate"),
        (b"gzip;q=0.2, deflate;q=0.8", b"deflate"),
        (b"gzip;q=0", None),
        (b"gzip;q=0, *", b"deflate"),
        (b"*", b"gzip"),
        (b"identity, gzip;q=0.5", None),
        (b"gzip;q=what", None),
        (b"br", None),
        (b";;=,q=1," * 1000, None),
    ],
    ids=[f"case-{number}" for number in range(12)],
)
def test_what_a_caller_likes_best_is_chosen(value: bytes, coding: bytes | None) -> None:
    assert accepted_coding(value) == coding


@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
def test_what_is_compressed_comes_back(coding: bytes) -> None:
    packed = compressed(TEXT, coding)
    assert len(packed) < len(TEXT) / 2
    assert decompressed(packed, coding, max_bytes=len(TEXT)) == TEXT
