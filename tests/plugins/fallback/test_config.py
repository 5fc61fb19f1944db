"""What a team writes is understood, or refused by name and place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from foretell_plugins.fallback import Config, TargetConfig


def read(**table: Any) -> Config:
    return msgspec.convert(table, Config)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("version:previous", TargetConfig(version="previous")),
        ("version:3", TargetConfig(version=3)),
        ("version:champion", TargetConfig(version="champion")),
        ("model:small", TargetConfig(model="small")),
        ("model:small/2", TargetConfig(model="small", version=2)),
        ("model:small/stable", TargetConfig(model="small", version="stable")),
    ],
)
def test_short_forms(text: str, meant: TargetConfig) -> None:
    assert read(chain=[text]).targets() == [meant]


def test_long_forms() -> None:
    target = {"model": "small", "version": 2, "inputs": {"a": "b"}, "outputs": {"c": "d"}, "give_up_s": 1}
    config = read(chain=[target, {"value": {"Y": 1}}], give_up_s=0.2, failure_rate=0.3, probes=2)
    assert config.targets() == [
        TargetConfig(model="small", version=2, inputs={"a": "b"}, outputs={"c": "d"}, give_up_s=1),
        TargetConfig(value={"Y": 1}),
    ]
    assert (config.rules().failure_rate, config.rules().probes, config.rules().open_s) == (0.3, 2, 5)


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"chain": ["previous"]}, "'previous' is no target: write 'version:previous'"),
    ({"chain": ["version:"]}, "is no target"),
    ({"chain": ["model:"]}, "is no target"),
    ({"chain": ["model:../x"]}, "cannot name a model"),
    ({"chain": ["version:0"]}, "cannot be an alias"),
    ({"chain": [{}]}, "either `value` alone, or `model`, `version` or both - at `.*chain"),
    ({"chain": [{"value": {}, "model": "m"}]}, "either `value` alone"),
    ({"chain": [{"value": {}, "give_up_s": 1}]}, "either `value` alone"),
    ({"chain": [{"modle": "m"}]}, "unknown field `modle`"),
    ({"chain": [{"value": {}}, "version:1"]}, "put it last"),
    ({"chain": [{"value": {}}, {"value": {}}]}, "put it last"),
    ({"failure_rate": 0}, "failure_rate"),
    ({"failure_rate": 1.1}, "failure_rate"),
    ({"give_up_s": 0}, "give_up_s"),
    ({"minimum": 0}, "minimum"),
    ({"probes": 0}, "probes"),
    ({"chains": []}, "unknown field `chains`"),
]


@pytest.mark.parametrize(("table", "message"), MISTAKES)
def test_mistakes_are_named(table: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        read(**table)


def test_every_key_is_documented_with_its_default() -> None:
    text = (Path(__file__).parents[3] / "docs" / "fallback.md").read_text()
    for field in msgspec.structs.fields(Config):
        shown = "none" if field.default in {None, ()} else field.default
        assert f"| `{field.name}` | {shown} |" in text


@pytest.mark.parametrize("key", ["give_up_s", "window_s", "open_s", "minimum", "max_given_up", "probes"])
@pytest.mark.parametrize("value", [0, 10**9, float("inf"), float("nan")], ids=str)
def test_no_number_is_so_great_that_nothing_could_count_it(key: str, value: float) -> None:
    with pytest.raises(msgspec.ValidationError, match=key):
        msgspec.convert({key: value}, Config)
