"""Who may change something: those who have the admin key. Without a key, nobody."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any, Final

from litestar.exceptions import NotAuthorizedException

from foretell.errors import AccessDeniedError

if TYPE_CHECKING:
    from litestar.connection import ASGIConnection
    from litestar.handlers.base import BaseRouteHandler

    from foretell.plugin.contract import Guard

__all__ = ["admin_guard"]

_SCHEME: Final = "bearer "


def admin_guard(key_sha256: str | None) -> Guard:
    """A Litestar guard that lets only those through who send the admin key as a bearer token.

    Args:
        key_sha256: The SHA-256 of the key, in hexadecimal; None means that the admin routes are off.
    """

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        if key_sha256 is None:
            raise AccessDeniedError("the admin routes are off: set admin.key_sha256")
        header = connection.headers.get("authorization", "")
        token = header[len(_SCHEME) :] if header[: len(_SCHEME)].lower() == _SCHEME else ""
        presented = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        if not token or not hmac.compare_digest(presented, key_sha256):
            raise NotAuthorizedException(
                "the admin key is wanted: Authorization: Bearer <key>", headers={"WWW-Authenticate": "Bearer"}
            )

    return guard
