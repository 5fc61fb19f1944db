"""What a team writes is understood, or refused by name and place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from foretell_plugins.canary import CanaryConfig


def read(**table: Any) -> CanaryConfig:
    return msgspec.convert(table, CanaryConfig)


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"weights": {}},
        {"weights": {"candidate": 5, "3": 1.5}},
        {"weights": {"a": 100 / 3, "b": 100 / 3, "c": 100 / 3}},
        {"weights": {"a": 100, "b": 0}},
        {"key": "header:X-User"},
        {"key": "traceparent"},
        {"key": "request-id", "salt": ""},
    ],
)
def test_what_is_right_is_taken(table: dict[str, Any]) -> None:
    config = read(**table)
    assert config.weights == table.get("weights", {})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"weights": {"a": 60, "b": 41}}, "make 101 per cent together; leave at most 100"),
        ({"weights": {"a": -1}}, r"at `\$.weights\[...\]`"),
        ({"weights": {"a": 100.1}}, r"at `\$.weights\[...\]`"),
        ({"weights": {"0": 1}}, "'0' cannot be an alias"),
        ({"weights": {"../a": 1}}, "cannot be an alias"),
        ({"weights": {"a": "5"}}, r"at `\$.weights\[...\]`"),
        (
            {"key": "x-user"},
            "'x-user' cannot be the key: write 'header:<name>', 'traceparent' or 'request-id'",
        ),
        ({"key": "header:"}, "cannot be the key"),
        ({"key": "header:a b"}, "cannot be the key"),
        ({"weight": {}}, "unknown field `weight`"),
    ],
    ids=["too much", "below", "above", "zero", "path", "text", "bare", "no name", "no token", "misspelt"],
)
def test_mistakes_are_named(table: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        read(**table)


def test_every_key_is_documented_with_its_default() -> None:
    text = (Path(__file__).parents[3] / "docs" / "canary.md").read_text().partition("\n## Shadow")[0]
    for field in msgspec.structs.fields(CanaryConfig):
        assert f"| `{field.name}` | none |" in text
