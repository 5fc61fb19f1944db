"""Who may change something: those who have the admin key. Without a key, nobody."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any, Final

from foretell.errors import AccessDeniedError, AdminKeyError

if TYPE_CHECKING:
    from litestar.connection import ASGIConnection
    from litestar.handlers.base import BaseRouteHandler

    from foretell.plugin.contract import Guard

__all__ = ["admin_guard", "check_admin"]

_SCHEME: Final = "bearer "


def check_admin(authorization: str, key_sha256: str | None) -> None:
    """Check that a caller has the admin key.

    Args:
        authorization: The value of ``Authorization``; empty if there is none.
        key_sha256: The SHA-256 of the key, in hexadecimal; None means that what is for its owners is off.

    Raises:
        AccessDeniedError: There is no key.
        AdminKeyError: The caller has not shown it.
    """
    if key_sha256 is None:
        raise AccessDeniedError("the admin routes are off: set admin.key_sha256 to the SHA-256 of a key")
    token = authorization[len(_SCHEME) :] if authorization[: len(_SCHEME)].lower() == _SCHEME else ""
    presented = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
    if not token or not hmac.compare_digest(presented, key_sha256):
        raise AdminKeyError


def admin_guard(key_sha256: str | None) -> Guard:
    """A Litestar guard that lets only those through who send the admin key as a bearer token; see `check_admin`."""

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        check_admin(connection.headers.get("authorization", ""), key_sha256)

    return guard
