"""A setting of the cache that cannot be used is refused at the start, with its remedy."""

from __future__ import annotations

import msgspec
import pytest

from foretell_plugins.cache import CacheConfig


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6379",
        "redis://localhost:6379/",
        "redis://:secret@localhost:6379/12",
        "rediss://user:secret@[::1]:6379/0",
        "redis://localhost?db=3",
        "unix:///run/redis.sock",
        "unix:///run/redis.sock?db=3",
    ],
)
def test_a_url_is_taken(url: str) -> None:
    assert msgspec.convert({"redis_url": url}, CacheConfig).redis_url == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (
            "redis://:secret@localhost:6379/notanumber",
            r"'notanumber' is not the number of a database.*HOST:PORT/0",
        ),
        ("redis://:secret@localhost/0/1", "'0/1' is not the number of a database"),
        ("redis://:secret@localhost?db=x", "'x' is not the number of a database"),
        ("unix:///secret?db=", "'' is not the number of a database"),
        ("redis://:secret@localhost:99999/0", "Port out of range.*HOST:PORT"),
        ("redis://:secret@localhost:abc/0", "HOST:PORT"),
        ("redis://[::secret", "Invalid IPv6 URL"),
        ("unix://", "names no socket"),
        ("unix://secret/0", "names no socket"),
        ("http://secret", "regex"),
    ],
)
def test_another_is_refused_and_not_shown(url: str, reason: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=reason) as caught:
        msgspec.convert({"redis_url": url}, CacheConfig)
    assert "secret" not in str(caught.value)
