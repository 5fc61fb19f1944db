from __future__ import annotations

import pytest

from foretell.errors import DeadlineError, InvalidInputError, NotReadyError, Problem, QuotaExceededError
from foretell_plugins.metrics.label_sets import OTHER, label_set_of
from tests.plugins.metrics.records import answered


@pytest.mark.parametrize(
    ("status", "degraded", "outcome"),
    [
        (200, None, "success"),
        (200, "deadline", "degraded"),
        (400, None, "client_error"),
        (403, None, "rejected"),
        (404, None, "client_error"),
        (413, None, "client_error"),
        (422, None, "client_error"),
        (429, None, "rejected"),
        (500, None, "error"),
        (503, None, "rejected"),
        (504, None, "error"),
    ],
)
def test_the_outcome_follows_from_the_status(status: int, degraded: str | None, outcome: str) -> None:
    assert label_set_of(answered(status=status, degraded=degraded)).outcome == outcome


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (NotReadyError("x"), "not_ready"),
        (QuotaExceededError("x"), "quota_exceeded"),
        (DeadlineError("x"), "deadline"),
        (InvalidInputError(Problem("$", "x")), "invalid_input"),
        (ValueError("x"), "value"),
        (None, ""),
    ],
    ids=str,
)
def test_the_kind_of_failure_is_told_in_words(failure: Exception | None, error: str) -> None:
    assert label_set_of(answered(failure=failure)).error == error


def test_a_method_that_a_caller_made_up_is_no_label() -> None:
    assert label_set_of(answered(method="BREW")).method == "_OTHER"
    assert label_set_of(answered(method="DELETE")).method == "DELETE"


def test_only_posts_are_predictions() -> None:
    assert label_set_of(answered()).is_prediction
    assert not label_set_of(answered(method="GET")).is_prediction


def test_what_finds_no_place_has_an_outcome_of_its_own() -> None:
    assert OTHER.outcome == "other"
