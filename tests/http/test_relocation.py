"""A message names routes where they are, and nothing else in it changes."""

from __future__ import annotations

import pytest

from foretell.http.relocation import relocated


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("there is no model 'x'; GET /v1/models lists", "there is no model 'x'; GET /ml/v1/models lists"),
        ("name it: POST /v1/models/<model>:predict", "name it: POST /ml/v1/models/<model>:predict"),
        ("send `inputs` to /v1/models/m:predict", "send `inputs` to /ml/v1/models/m:predict"),
        ("see GET /health", "see GET /ml/health"),
        ("nothing at /ml/health/x; GET / tells", "nothing at /ml/health/x; GET /ml tells"),
        ("the ratio 1 / 2 of /healthy a/predict", "the ratio 1 / 2 of /healthy a/predict"),
    ],
)
def test_routes_are_named_where_they_are(message: str, expected: str) -> None:
    assert relocated(message, "/ml") == expected
    assert relocated(message, "") == message
