"""What a team writes is understood, or refused by name and place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from foretell_plugins.shadow import ShadowConfig
from foretell_plugins.shadow.config import Target


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("candidate", Target(None, "candidate")),
        ("3", Target(None, 3)),
        ("model:small", Target("small", None)),
        ("model:small/2", Target("small", 2)),
        ("model:small/stable", Target("small", "stable")),
    ],
)
def test_targets(text: str, meant: Target) -> None:
    config = msgspec.convert({"target": text}, ShadowConfig)
    assert Target.parse(config.target or "") == meant


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"target": ""}, "'' cannot be an alias"),
        ({"target": "0"}, "'0' cannot be an alias"),
        ({"target": "version:1"}, "'version:1' cannot be an alias"),
        ({"target": "model:"}, "'' cannot name a model"),
        ({"target": "model:../x"}, "cannot name a model"),
        ({"target": "model:small/"}, "'' cannot be an alias"),
        ({"fraction": 1.1}, r"\$.fraction"),
        ({"fraction": -0.1}, r"\$.fraction"),
        ({"deadline_s": 0}, r"\$.deadline_s"),
        ({"max_pending": 0}, r"\$.max_pending"),
        ({"max_running": 0}, r"\$.max_running"),
        ({"rtol": -1}, r"\$.rtol"),
        ({"targets": ""}, "unknown field `targets`"),
    ],
)
def test_mistakes_are_named(table: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(table, ShadowConfig)


def test_every_key_is_documented_with_its_default() -> None:
    text = (Path(__file__).parents[3] / "docs" / "canary.md").read_text().partition("\n## Shadow")[2]
    for field in msgspec.structs.fields(ShadowConfig):
        shown = "none" if field.default in {None, ()} else field.default
        assert f"| `{field.name}` | {shown} |" in text
