"""Paths become routes, and those that are asked often are not looked at anew."""

from __future__ import annotations

import pytest

from foretell.errors import NotFoundError
from foretell.http.known import Known
from foretell.http.native import native_route
from foretell.http.routes import PREDICT


@pytest.mark.parametrize(
    ("rest", "model", "version", "alias", "verb"),
    [
        ("", None, None, None, "describe"),
        ("/m", "m", None, None, "describe"),
        ("/m:predict", "m", None, None, PREDICT),
        ("/m/versions/2:predict", "m", "2", None, PREDICT),
        ("/m/labels/stable:predict", "m", None, "stable", PREDICT),
        ("/m/metadata", "m", None, None, "metadata"),
        ("/m/versions/2/metadata", "m", "2", None, "metadata"),
    ],
)
def test_a_path_names_a_model_and_what_is_to_be_done(
    rest: str, model: str | None, version: str | None, alias: str | None, verb: str
) -> None:
    route = native_route(f"/v1/models{rest}", rest)
    assert (route.model, route.version, route.alias, route.verb) == (model, version, alias, verb)


@pytest.mark.parametrize(
    "rest", ["/metadata/x", "/m/versions", "/m/other/2:predict", "/m:explain", "//m:predict"]
)
def test_other_paths_lead_nowhere(rest: str) -> None:
    with pytest.raises(NotFoundError):
        native_route(f"/v1/models{rest}", rest)


def test_only_predictions_are_known_and_not_too_many() -> None:
    known = Known()
    for number in range(2500):
        known.add(native_route(f"/v1/models/m{number}:predict", f"/m{number}:predict"))
    known.add(native_route("/v1/models/m", "/m"))
    long = "m" * 600
    known.add(native_route(f"/v1/models/{long}:predict", f"/{long}:predict"))
    found = [number for number in range(2500) if known.route(f"/v1/models/m{number}:predict") is not None]
    assert found == list(range(2000, 2500))
    assert known.route("/v1/models/m") is None
    assert known.route(f"/v1/models/{long}:predict") is None
