"""What models, versions and aliases may be called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.errors import InvalidNameError
from foretell.store.layout import (
    check_alias,
    check_model_name,
    is_model_name,
    parse_version,
    version_folders,
)

if TYPE_CHECKING:
    from pathlib import Path

GOOD_NAMES = ["a", "7", "iris", "Iris-2", "breast_cancer", "v1.2", "a..b", "x-", "x_", "a" * 128]

BAD_NAMES = {
    "empty": "",
    "dot": ".",
    "parent": "..",
    "hidden": ".staging",
    "climbing": "../secret",
    "inner climb": "a/../b",
    "absolute": "/etc/passwd",
    "slash": "a/b",
    "backslash": "a\\b",
    "drive": "C:",
    "NUL": "a\0b",
    "newline at the end": "iris\n",
    "newline inside": "a\nb",
    "space": "a b",
    "percent": "a%2e",
    "colon": "iris:predict",
    "leading dash": "-rf",
    "leading underscore": "_private",
    "trailing dot": "iris.",
    "tilde": "~root",
    "umlaut": "größe",
    "full-width letter": "\uff41",
    "Arabic digit": "\u0661",
    "overlong": "a" * 129,
    "overlong with a dot at the end": "a" * 128 + ".",
}


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_a_plain_name_can_name_a_model(name: str) -> None:
    assert check_model_name(name) == name


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
def test_a_name_that_a_path_could_abuse_is_refused_and_quoted(name: str) -> None:
    assert not is_model_name(name)
    with pytest.raises(InvalidNameError) as caught:
        check_model_name(name)
    assert repr(name) in str(caught.value)
    assert "1 to 128 letters" in str(caught.value)


@given(name=st.text(st.characters(codec="utf-8"), max_size=20))
def test_whatever_is_accepted_is_one_plain_ascii_path_part(name: str) -> None:
    if is_model_name(name):
        assert name.isascii()
        assert not set(name) & set("/\\:\0\n ~%")
        assert name not in {".", ".."}
        assert not name.startswith((".", "-"))


@pytest.mark.parametrize("alias", ["champion", "2024-05", "v1", "1a", "1.0"])
def test_an_alias_has_a_character_that_is_no_digit(alias: str) -> None:
    assert check_alias(alias) == alias


@pytest.mark.parametrize("alias", ["1", "007", "", "../1", "a/b", "champion\n", "\u0661"])
def test_an_alias_that_could_be_a_version_or_a_path_is_refused(alias: str) -> None:
    with pytest.raises(InvalidNameError) as caught:
        check_alias(alias)
    assert repr(alias) in str(caught.value)


@given(number=st.integers(min_value=1, max_value=10**18 - 1))
def test_a_positive_integer_is_a_version(number: int) -> None:
    assert parse_version(str(number)) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "01",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1\n",
        "1.0",
        "1_000",
        "0x1",
        "1e3",
        "one",
        "\u0661",
        "\uff11",
        "\u00b2",
        "9" * 19,
    ],
)
def test_anything_else_is_no_version(text: str) -> None:
    assert parse_version(text) is None


def test_version_folders_are_listed_in_the_order_of_numbers(tmp_path: Path) -> None:
    for name in ("10", "9", "1", "01", "0", "latest", ".2"):
        (tmp_path / name).mkdir()
    (tmp_path / "3").write_text("a file is no version")
    assert list(version_folders(tmp_path).items()) == [(n, tmp_path / str(n)) for n in (1, 9, 10)]
