"""The tree of errors is what its documentation draws, and its messages carry what the caller needs."""

from __future__ import annotations

import re

import pytest

from foretell import errors
from foretell.errors import ForetellError, InvalidInputError, MissingExtraError, Problem, RequestError

NAMES = sorted(set(errors.__all__) - {"Problem"})


def _drawn() -> dict[str, str]:
    """Each error's parent, by the tree in the module's docstring."""
    parents: dict[str, str] = {}
    above = ["ForetellError"]
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"((?:│   |    )*)[├└]── (\w+)", line)
        if match:
            depth = len(match[1]) // 4 + 1
            parents[match[2]] = above[depth - 1]
            above[depth:] = [match[2]]
    return parents


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ForetellError"])
def test_an_error_stands_where_the_tree_draws_it(name: str) -> None:
    kind = getattr(errors, name)
    assert kind.__bases__[0].__name__ == _drawn()[name]


def test_the_tree_draws_all_errors_and_no_others() -> None:
    assert {*_drawn(), "ForetellError"} == {*NAMES}


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("SettingsError", ValueError),
        ("MissingExtraError", ImportError),
        ("InvalidNameError", ValueError),
        ("ManifestError", ValueError),
        ("ConversionError", ValueError),
        ("NotFoundError", LookupError),
        ("NotReadyError", RuntimeError),
        ("RequestError", ValueError),
        ("RunError", RuntimeError),
    ],
)
def test_an_error_can_be_caught_as_the_builtin_that_fits(name: str, builtin: type[Exception]) -> None:
    assert issubclass(getattr(errors, name), builtin)


def test_a_missing_extra_is_named_with_the_command_that_installs_it() -> None:
    assert str(MissingExtraError("convert", "publishing")) == (
        "publishing needs an optional dependency: "
        "`make convert` in a clone of foretell, or pip install 'foretell[convert]'"
    )


def test_an_invalid_input_tells_every_problem_with_its_place() -> None:
    problems = (Problem("$.a", "expected int, got true"), Problem("$.b[0]", "expected 2 values, got 1"))
    error = InvalidInputError(*problems)
    assert error.problems == problems
    assert str(error) == "$.a: expected int, got true; $.b[0]: expected 2 values, got 1"
    assert isinstance(error, RequestError)
    assert isinstance(error, ForetellError)
