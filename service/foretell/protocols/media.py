"""Which media types of request bodies are taken as JSON, and which as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from foretell.errors import UnsupportedMediaError
from foretell.excerpts import shortened

__all__ = ["check_json", "is_csv"]

_USUAL: Final = frozenset(
    (
        None,
        b"application/json",
        # What `curl -d` says of any body: forms are not read here, so it can only be JSON.
        b"application/x-www-form-urlencoded",
    )
)
_CSV: Final = frozenset((b"text/csv", b"application/csv"))
_CHARSETS: Final = frozenset((b"utf-8", b"utf8", b"us-ascii"))


def check_json(content_type: bytes | None) -> None:
    """Check that a body is said to be JSON in UTF-8.

    Args:
        content_type: The value of ``Content-Type``, if there is one; of several, joined by commas.

    Raises:
        UnsupportedMediaError: It is said to be something else.
    """
    if content_type in _USUAL:
        return
    media_type, *parameters = [part.strip() for part in (content_type or b"").lower().split(b";")]
    if media_type not in _USUAL and not media_type.endswith(b"+json") and media_type != b"":
        shown = shortened(media_type.decode("latin-1"))
        raise UnsupportedMediaError(f"the media type {shown!r} is not accepted; send application/json")
    _check_charset(parameters, _CHARSETS, "JSON is UTF-8")


def is_csv(content_type: bytes | None) -> bool:
    """Whether a body is said to be CSV.

    Raises:
        UnsupportedMediaError: It is, in another charset than UTF-8.
    """
    media_type, *parameters = (content_type or b"").lower().split(b";")
    if media_type.strip() not in _CSV:
        return False
    _check_charset(parameters, _CHARSETS | {b""}, "send UTF-8")
    return True


def _check_charset(parameters: Sequence[bytes], charsets: AbstractSet[bytes], remedy: str) -> None:
    """Refuse a media type whose parameters name another charset than these."""
    for parameter in parameters:
        key, _, value = parameter.partition(b"=")
        if key.strip() == b"charset" and value.strip(b' "') not in charsets:
            shown = shortened(value.decode("latin-1"))
            raise UnsupportedMediaError(f"the charset {shown!r} is not accepted; {remedy}")
