"""What is shown of settings holds no secret."""

from __future__ import annotations

from typing import Any

import pytest

from foretell.settings.secrets import masked

SHOWN: dict[str, tuple[tuple[str, ...], Any, Any]] = {
    "a password in a URL": (("redis_url",), "redis://:pw@host:6379/0", "redis://:***@host:6379/0"),
    "and its user": (("url",), "postgres://me:pw@host/db", "postgres://me:***@host/db"),
    "a password with signs": (("url",), "redis://u:p@/:w@host/0", "redis://u:***@host/0"),
    "a URL without one": (("endpoint",), "http://localhost:4318/v1", "http://localhost:4318/v1"),
    "a parameter": (
        ("url",),
        "https://h/?a=1&api_key=x&token=y",
        "https://h/?a=1&api_key=***&token=***",
    ),
    "a URL in a list": (("urls",), ("redis://:pw@a", "redis://b"), ["redis://:***@a", "redis://b"]),
    "a key": (("api_key",), "12345", "***"),
    "a number": (("pin_token",), 12345, "***"),
    "whatever its case": (("ApiKey",), "x", "***"),
    "headers": (("headers",), {"authorization": "Bearer x"}, {"authorization": "***"}),
    "a nested table": (
        ("backend",),
        {"url": "u", "auth": {"password": "x", "user": "y"}},
        {"url": "u", "auth": {"password": "***", "user": "y"}},
    ),
    "a list of tables": (("chain",), [{"secret": "x"}, "y"], [{"secret": "***"}, "y"]),
    "no secret at all": (("api_key",), None, None),
    "an empty one": (("api_key",), "", ""),
    "a switch": (("use_token",), True, True),
    "the hash of the admin key": (("key_sha256",), "0123456789abcdef" * 4, "01234567…"),
    "nothing of the kind": (("ttl_s",), 5, 5),
}


@pytest.mark.parametrize(("path", "value", "wanted"), SHOWN.values(), ids=SHOWN)
def test_secrets_are_masked_and_nothing_else_is(path: tuple[str, ...], value: Any, wanted: Any) -> None:
    assert masked(path, value) == wanted
