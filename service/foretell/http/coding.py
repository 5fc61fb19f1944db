"""Content codings: compressed bodies are read as far as the limit goes."""

from __future__ import annotations

import zlib
from typing import Final

from foretell.errors import MalformedError, TooLargeError, UnsupportedMediaError
from foretell.excerpts import shortened

__all__ = ["coding_of", "decompressed"]

_WINDOWS: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
"""What tells zlib the format that a coding has. Source: RFC 9110, section 8.4.1; the zlib manual, inflateInit2."""


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
