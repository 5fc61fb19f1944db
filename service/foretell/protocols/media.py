"""Which media types of request bodies are taken as JSON."""

from __future__ import annotations

from typing import Final

from foretell.errors import UnsupportedMediaError
from foretell.excerpts import shortened

__all__ = ["check_json"]

_USUAL: Final = frozenset(
    (
        None,
        b"application/json",
        # What `curl -d` says of any body: forms are not read here, so it can only be JSON.
        b"application/x-www-form-urlencoded",
    )
)
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
    for parameter in parameters:
        key, _, value = parameter.partition(b"=")
        if key.strip() == b"charset" and value.strip(b' "') not in _CHARSETS:
            shown = shortened(value.decode("latin-1"))
            raise UnsupportedMediaError(f"the charset {shown!r} is not accepted; JSON is UTF-8")
