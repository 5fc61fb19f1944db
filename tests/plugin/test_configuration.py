"""A plugin's table becomes its Struct: text is what the types say, and mistakes are told in words."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from foretell.errors import PluginError
from foretell.plugin.config_text import read
from foretell.plugin.configuration import Place, convert
from foretell.settings.text_value import TextValue


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int = 0
    label: str | int = ""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"class_": "class"}):
    anything: Any = None
    text: str = ""
    number: Annotated[float, Meta(ge=0)] = 0.0
    whole: int | None = None
    switch: bool = False
    sampler: Literal["always_on", "always_off"] = "always_on"
    perhaps: Literal["grpc", "http"] | None = None
    colour: Colour = Colour.RED
    headers: dict[str, str] = {}
    weights: dict[str, float] = {}
    chain: tuple[str | Inner, ...] = ()
    sizes: list[int] = []
    pair: tuple[str, int] = ("", 0)
    inner: Inner = Inner()
    url: Annotated[str, Meta(pattern="^https?://", description="a URL with http:// or https://")] | None = (
        None
    )
    path: Annotated[str, Meta(pattern="^/.+", examples=["/metrics"])] = "/"
    code: Annotated[str, Meta(pattern="^x")] = "x"
    secret_key: Annotated[str, Meta(pattern="^x", description="a key")] = "x"
    class_: str = ""


def loaded(table: dict[str, Any], origins: dict[str, str] | None = None) -> Config:
    place = Place("plugins.config.p", origins or {})
    return convert(read(table, Config, place), Config, place, besides=("optional",))


def mistake(table: dict[str, Any], origins: dict[str, str] | None = None) -> str:
    with pytest.raises(PluginError) as error:
        loaded(table, origins)
    return str(error.value)


TEXTS: list[tuple[str, str, Any]] = [
    ("anything", "3", 3),
    ("anything", "0.5", 0.5),
    ("anything", "true", True),
    ("anything", "[1, 2]", [1, 2]),
    ("anything", "plain", "plain"),
    ("anything", "redis://localhost:6379/0", "redis://localhost:6379/0"),
    ("anything", '"3"', "3"),
    ("anything", "1\nother = 2", "1\nother = 2"),
    ("anything", "a = b", "a = b"),
    ("anything", "12e45678", "12e45678"),
    ("text", "12345", "12345"),
    ("text", "12e45678", "12e45678"),
    ("text", "true", "true"),
    ("text", "1979-05-27", "1979-05-27"),
    ("text", "", ""),
    ("class", "x", "x"),
    ("number", "5", 5.0),
    ("number", "1e3", 1000.0),
    ("whole", "7", 7),
    ("whole", "", None),
    ("switch", "true", True),
    ("switch", "0", False),
    ("sampler", "always_off", "always_off"),
    ("perhaps", "grpc", "grpc"),
    ("perhaps", "", None),
    ("colour", "blue", Colour.BLUE),
    ("headers", '{authorization = "Bearer xyz"}', {"authorization": "Bearer xyz"}),
    ("weights", "{a = 1}", {"a": 1.0}),
    ("chain", '["version:previous", {size = 3}]', ("version:previous", Inner(3))),
    ("chain", "version:previous, model:m", ("version:previous", "model:m")),
    ("chain", "", ()),
    ("sizes", "1, 2", [1, 2]),
    ("pair", "1, 2", ("1", 2)),
    ("inner", "{size = 3}", Inner(3)),
    ("url", "https://host", "https://host"),
    ("url", "", None),
]


@pytest.mark.parametrize(("key", "text", "value"), TEXTS, ids=lambda value: repr(value)[:30])
def test_text_is_what_the_type_of_the_key_says(key: str, text: str, value: Any) -> None:
    found = getattr(loaded({key: TextValue(text)}), "class_" if key == "class" else key)
    assert found == value
    assert type(found) is type(value)


def test_text_is_read_in_tables_too() -> None:
    table = {
        "headers": {"a": TextValue("1")},
        "weights": {"a": TextValue("1")},
        "inner": {"size": TextValue("3")},
    }
    config = loaded(table)
    assert (config.headers, config.weights, config.inner.size) == ({"a": "1"}, {"a": 1.0}, 3)
    assert loaded({"inner": {"label": TextValue("3")}}).inner.label == 3


@pytest.mark.parametrize(
    ("key", "text", "wanted"),
    [
        ("number", "12e45678", "expected a number of at least 0, got '12e45678'"),
        ("whole", "many", "expected a whole number, got 'many'"),
        ("switch", "yes", "expected true or false, got 'yes'"),
        (
            "headers",
            "authorization=Bearer xyz",
            "expected a table, got '***': write {name = \"value\"}, or set plugins.config.p.headers.<name> for each name",
        ),
        ("sizes", "[1", 'expected a list, got \'[1\': write ["a", "b"], or a, b'),
        ("sizes", "1, x", "expected a whole number, got 'x'"),
    ],
    ids=["number", "whole", "switch", "table", "list", "element"],
)
def test_text_that_is_no_such_thing_is_told_with_what_was_expected(key: str, text: str, wanted: str) -> None:
    key = f"plugins.config.p.{key}"
    assert (
        mistake({key.rpartition(".")[2]: TextValue(text)}, {key: "VARIABLE"}) == f"VARIABLE: {key}: {wanted}"
    )


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        (
            {"sampler": "always_of"},
            (
                "invalid enum value 'always_of' - at `$.sampler`; did you mean 'always_off'? its values are: "
                "always_on, always_off"
            ),
        ),
        ({"sampler": TextValue("ratio")}, "- at `$.sampler`; its values are: always_on, always_off"),
        ({"perhaps": "x"}, "- at `$.perhaps`; its values are: grpc, http"),
        ({"colour": "rot"}, "- at `$.colour`; its values are: red, blue"),
        ({"url": "localhost"}, "expected a URL with http:// or https://, got 'localhost' - at `$.url`"),
        ({"url": "x://me:pw@h"}, "expected a URL with http:// or https://, got 'x://me:***@h' - at `$.url`"),
        ({"secret_key": "abc"}, "expected a key, got '***' - at `$.secret_key`"),
        ({"path": "x"}, "expected something like '/metrics', got 'x' - at `$.path`"),
        ({"code": "y"}, "expected `str` matching regex '^x' - at `$.code`; its keys are: anything, text"),
        ({"clas": "y"}, "unknown field `clas`; did you mean 'class'? its keys are: anything, text"),
        ({"optinal": True}, "unknown field `optinal`; did you mean 'optional'? its keys are: anything"),
        (
            {"inner": {"sise": 1}},
            "unknown field `sise` - at `$.inner`; did you mean 'size'? its keys are: size, label",
        ),
        ({"chain": ["a", {"sise": 1}]}, "- at `$.chain[1]`; did you mean 'size'? its keys are: size, label"),
        (
            {"weights": {"a": "x"}},
            "expected `float`, got `str` - at `$.weights[...]`; its keys are: anything",
        ),
    ],
    ids=str,
)
def test_a_mistake_in_a_table_is_told_with_what_could_be_written(table: dict[str, Any], wanted: str) -> None:
    told = mistake(table)
    assert told.startswith("plugins.config.p: ")
    assert wanted in told


def test_a_key_that_is_needed_and_not_there_is_named() -> None:
    class Needs(msgspec.Struct, forbid_unknown_fields=True):
        url: str
        size: int = 0

    place = Place("plugins.config.p", {"plugins.config.p.size": "a.toml", "plugins.config.q.x": "b.toml"})
    with pytest.raises(PluginError) as error:
        convert({"size": 1}, Needs, place)
    assert str(error.value) == (
        "a.toml: plugins.config.p: object missing required field `url`; its keys are: url, size"
    )


def test_the_origin_is_that_of_the_key_or_of_the_table_that_it_is_in() -> None:
    origins = {"plugins.config.p": "a", "plugins.config.p.inner.size": "b"}
    place = Place("plugins.config.p", origins)
    assert [place.origin(*names) for names in ((), ("text",), ("inner", "size"), ("inner", "size", "0"))] == [
        "a",
        "a",
        "b",
        "b",
    ]
    two = Place("p", {"p.a": "one", "p.b": "two"})
    assert (two.origin("a"), two.origin("c"), str(two)) == ("one", None, "p")
    assert Place("plugins.p", file="m/model.toml").named("x") == "m/model.toml: plugins.p"
