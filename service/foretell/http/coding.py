"""Content codings: compressed bodies are read as far as the limit goes, and large answers are compressed."""

from __future__ import annotations

import zlib
from typing import Final

from foretell.errors import MalformedError, TooLargeError, UnsupportedMediaError
from foretell.excerpts import shortened

__all__ = ["accepted_coding", "coding_of", "compressed", "decompressed"]

_WINDOWS: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
"""What tells zlib the format that a coding has. Source: RFC 9110, section 8.4.1; the zlib manual, inflateInit2."""


_OFFERED: Final = (b"gzip", b"deflate")
"""What answers are compressed with; of what a caller likes as much, the first."""

_LEVEL: Final = 1  # numbers as text: higher levels take several times as long for a tenth less


def coding_of(content_encoding: bytes) -> bytes | None:
    """The coding that a body is said to have; None if it is as it is.

    Args:
        content_encoding: The value of ``Content-Encoding``; of several, joined by commas.

    Raises:
        UnsupportedMediaError: It is said to have another, or several.
    """
    codings = [coding for each in content_encoding.lower().split(b",") if (coding := each.strip())]
    codings = [coding for coding in codings if coding != b"identity"]
    if not codings:
        return None
    if len(codings) == 1 and codings[0] in _WINDOWS:
        return codings[0]
    shown = shortened(content_encoding.decode("latin-1"))
    raise UnsupportedMediaError(
        f"the content encoding {shown!r} is not accepted; use gzip or deflate, or send the body as it is"
    )


def decompressed(body: bytes, coding: bytes, *, max_bytes: int) -> bytes:
    """A body as it was before it was compressed.

    Args:
        body: The compressed body.
        coding: What `coding_of` gave.
        max_bytes: The greatest length of the body as it was, bytes; nothing beyond it is ever made.

    Raises:
        MalformedError: It is damaged, cut short, or goes on behind its end.
        TooLargeError: It is longer.
    """
    if not body:
        raise MalformedError("the body is empty; send a JSON object")
    name = coding.decode()
    stream = zlib.decompressobj(_WINDOWS[coding])
    try:
        made = stream.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise MalformedError(f"the body is not {name}: {error}") from error
    if len(made) > max_bytes:
        raise TooLargeError(
            f"the body has more than {max_bytes} bytes when decompressed, which is the limit (limits.max_body_bytes)"
        )
    if not stream.eof:
        raise MalformedError(f"the body is {name} that is cut short")
    if stream.unused_data:
        raise MalformedError(f"the body goes on behind the end of its {name}")
    return made


def accepted_coding(accept_encoding: bytes) -> bytes | None:
    """The coding that a caller wants its answer in; None if it wants it as it is, or says nothing that can be had.

    Args:
        accept_encoding: The value of ``Accept-Encoding``; of several, joined by commas; empty if there is none.

    Source: RFC 9110, section 12.5.3.
    """
    weights: dict[bytes, float] = {}
    for each in accept_encoding.lower().split(b","):
        coding, _, parameter = each.partition(b";")
        name, _, weight = parameter.partition(b"=")
        try:
            weights[coding.strip()] = float(weight) if name.strip() == b"q" else 1.0
        except ValueError:
            weights[coding.strip()] = 0.0
    liked = {coding: weights.get(coding, weights.get(b"*", 0.0)) for coding in _OFFERED}
    best = max(_OFFERED, key=lambda coding: liked[coding])
    return best if liked[best] > 0 and liked[best] >= weights.get(b"identity", 0.0) else None


def compressed(body: bytes, coding: bytes) -> bytes:
    """A body in one of the codings that `accepted_coding` gives."""
    stream = zlib.compressobj(_LEVEL, wbits=_WINDOWS[coding])
    return stream.compress(body) + stream.flush()
