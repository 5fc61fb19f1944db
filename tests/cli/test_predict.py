"""``foretell predict``: a prediction without a server."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ran, Run
from tests.models import failing_model_bytes, linear_model_bytes, write_model_toml, write_version

BODY = '{"instances": [[1, 2], [3, 4]]}'


@pytest.fixture
def filled(store: Path) -> Path:
    """A model whose versions 1 and 2 double and triple the sum of a row; version 3 is damaged."""
    for number in (1, 2):
        write_version(store, "m", number, linear_model_bytes(weights=[number + 1.0] * 2))
    write_version(store, "m", 3, b"damaged", manifest=False)
    write_model_toml(store, "m", "default = 2\n[aliases]\nold = 1\nbroken = 3\n")
    write_version(store, "other", 1, b"damaged", manifest=False)
    return store


def answer(ran: Ran) -> dict[str, Any]:
    assert (ran.code, ran.err) == (0, "")
    found: dict[str, Any] = json.loads(ran.out)
    return found


def test_the_default_version_answers(run: Run, filled: Path) -> None:
    found = answer(run("predict", "m", BODY, "--store", filled))
    assert found["predictions"] == [9, 21]
    assert (found["model_name"], found["model_version"]) == ("m", "2")


def test_a_body_is_read_from_standard_input(run: Run, filled: Path) -> None:
    assert answer(run("predict", "m", "--store", filled, stdin=BODY.encode()))["predictions"] == [9, 21]


def test_columns_are_taken_as_they_are_over_http(run: Run, filled: Path) -> None:
    found = answer(run("predict", "m", '{"inputs": {"X": [[1, 2]]}}', "--store", filled))
    assert found["outputs"] == {"Y": [[9]]}


@pytest.mark.parametrize(("option", "value"), [("--version", "1"), ("--alias", "old")])
def test_a_version_or_an_alias_can_be_asked(run: Run, filled: Path, option: str, value: str) -> None:
    found = answer(run("predict", "m", BODY, option, value, "--store", filled))
    assert (found["predictions"], found["model_version"]) == ([6, 14], "1")


@pytest.mark.parametrize(
    ("arguments", "code", "wanted"),
    [
        (["m", BODY, "--version", "1", "--alias", "old"], 2, "name a version or an alias, not both"),
        (["m", BODY, "--version", "9"], 1, "has no version 9; it has: 1, 2, 3"),
        (
            ["m", BODY, "--version", "3"],
            1,
            "version 3 of 'm' failed to load: version 3: the file is not an ONNX model",
        ),
        (["m", BODY, "--alias", "new"], 1, "no alias 'new'; it has: broken, old"),
        (["m", BODY, "--alias", "broken"], 1, "version 3 of 'm' failed to load"),
        (["iris", BODY], 1, "there is no model 'iris' in "),
        (["other", BODY], 1, "not an ONNX model"),
        (["m", "{"], 1, "foretell: "),
        (["m", "{}"], 1, "send either `instances` (rows) or `inputs` (columns)"),
        (["m", '{"instances": [[1]]}'], 1, "$.instances[0]"),
        (["m", '{"instances": [[1, "a"]]}'], 1, "$.instances[0][1]"),
        (["m", ""], 1, "foretell: "),
    ],
    ids=[
        "both",
        "no version",
        "damaged version",
        "no alias",
        "alias of a damaged version",
        "no model",
        "no version that loads",
        "malformed",
        "nothing to predict",
        "short row",
        "wrong type",
        "empty",
    ],
)
def test_what_cannot_be_answered_is_one_line(
    run: Run, filled: Path, arguments: list[str], code: int, wanted: str
) -> None:
    ran = run("predict", *arguments, "--store", filled)
    assert (ran.code, ran.out) == (code, "")
    assert wanted in ran.err
    assert "GET /" not in ran.err
    assert code == 2 or ran.err.count("\n") == 1


def test_a_body_of_the_simple_protocol_is_told_what_this_command_takes(run: Run, filled: Path) -> None:
    ran = run("predict", "m", '{"features": [1, 2]}', "--store", filled)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        'foretell: $: send {"instances": [row, …]} or {"inputs": columns}: `features` is only for POST /predict\n'
    )


@pytest.mark.parametrize("body", ["[1]", "1", '"features"'])
def test_a_body_that_is_no_object_is_refused_as_over_http(run: Run, filled: Path, body: str) -> None:
    ran = run("predict", "m", body, "--store", filled)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert ran.err.startswith("foretell: $: expected object")


def test_bytes_that_are_no_text_are_refused_as_over_http(run: Run, filled: Path) -> None:
    ran = run("predict", "m", os.fsdecode(b"\xff"), "--store", filled)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("foretell: the JSON is malformed")


def test_a_run_that_fails_is_one_line(run: Run, store: Path) -> None:
    write_version(store, "m", 1, failing_model_bytes())
    ran = run("predict", "m", '{"instances": [99]}', "--store", store)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("foretell: ")
    assert ran.err.count("\n") == 1


def test_a_disabled_model_is_named_as_such(run: Run, filled: Path) -> None:
    write_model_toml(filled, "m", "enabled = false")
    ran = run("predict", "m", BODY, "--store", filled)
    assert (ran.code, ran.out) == (1, "")
    assert "GET /" not in ran.err
    assert "enabled" in ran.err


def test_an_absent_store_is_named(run: Run) -> None:
    ran = run("predict", "m", BODY, "--store", "nowhere")
    assert (ran.code, ran.err[:41]) == (1, "foretell: the model store 'nowhere' does ")
