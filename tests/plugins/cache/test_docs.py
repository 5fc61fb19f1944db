"""Every setting of the cache stands in its document with its default, and no other does."""

from __future__ import annotations

import re

import msgspec

from foretell_plugins.cache import CacheConfig
from tests.servers import ROOT


def test_the_table_of_settings_is_complete_and_right() -> None:
    text = (ROOT / "docs" / "cache.md").read_text()
    told = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", text, re.MULTILINE))
    expected = {
        key: "none" if value is None else msgspec.json.encode(value).decode()
        for key, value in msgspec.to_builtins(CacheConfig()).items()
    }
    assert told == expected
