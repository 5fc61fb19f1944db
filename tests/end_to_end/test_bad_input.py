"""Bad input gets the status of the design and a message that names place, value and remedy; never a 500."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import httpx
import pytest

from tests.servers import RunningServer

ROW = [5.1, 3.5, 1.4, 0.2]
IRIS = "/v1/models/iris:predict"
PENGUINS = "/v1/models/penguins:predict"
RECORD = dict(zip(["sepal_length", "sepal_width", "petal_length", "petal_width"], ROW, strict=True))
PENGUIN = {
    "bill_length_mm": 39.1,
    "bill_depth_mm": 18.7,
    "flipper_length_mm": 181,
    "body_mass_g": 3750,
    "island": "Torgersen",
    "sex": "male",
}


class Case(NamedTuple):
    """A bad request: what is sent where, and what must come back."""

    path: str
    body: bytes | object
    status: int
    says: tuple[str, ...]
    place: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "POST"


def _without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


CASES = {
    "wrong column": Case(
        IRIS,
        {"instances": [{**_without(RECORD, "petal_width"), "petal_widht": 0.2}]},
        422,
        ("'petal_widht'", "did you mean 'petal_width'"),
        "$.instances[0]",
    ),
    "missing column": Case(
        IRIS,
        {"instances": [RECORD, _without(RECORD, "sepal_width")]},
        422,
        ("'sepal_width' is missing", "'petal_length'"),
        "$.instances[1]",
    ),
    "extra column": Case(
        PENGUINS,
        {"instances": [{**PENGUIN, "year": 2007}]},
        422,
        ("'year' is not known", "'island'"),
        "$.instances[0]",
    ),
    "wrong type in a list": Case(
        IRIS, {"instances": [ROW, [5.1, "3.5", 1.4, 0.2]]}, 422, ('got "3.5"', "float"), "$.instances[1][1]"
    ),
    "wrong type in a record": Case(
        PENGUINS, {"instances": [{**PENGUIN, "island": 3}]}, 422, ("str", "got 3"), "$.instances[0].island"
    ),
    "boolean for a number": Case(
        IRIS, {"instances": [[True, 1, 1, 1]]}, 422, ("float", "true"), "$.instances[0][0]"
    ),
    "null that may not be missing": Case(
        IRIS, {"instances": [[None, 1, 1, 1]]}, 422, ("null", "may not be missing"), "$.instances[0][0]"
    ),
    "row too short": Case(
        IRIS, {"instances": [[1, 2, 3]]}, 422, ("expected 4 values", "got 3"), "$.instances[0]"
    ),
    "row too long": Case(
        IRIS, {"instances": [[1, 2, 3, 4, 5]]}, 422, ("expected 4 values", "got 5"), "$.instances[0]"
    ),
    "ragged rows": Case(IRIS, {"instances": [ROW, ROW[:2]]}, 422, ("4 values", "got 2"), "$.instances[1]"),
    "nested too deep": Case(IRIS, {"instances": [[ROW]]}, 422, ("float", "[5.1"), "$.instances[0][0]"),
    "NaN token": Case(IRIS, b'{"instances": [[NaN, 1, 1, 1]]}', 400, ("NaN", "byte 16", "null")),
    "Infinity token": Case(IRIS, b'{"instances": [[1, Infinity, 1, 1]]}', 400, ("Infinity", "byte")),
    "negative Infinity token": Case(
        IRIS, b'{"instances": [[1, -Infinity, 1, 1]]}', 400, ("-Infinity at byte 19",)
    ),
    "number beyond float32": Case(
        IRIS, {"instances": [[1e39, 1, 1, 1]]}, 422, ("<= 3.4028", "got 1e39"), "$.instances[0][0]"
    ),
    "number beyond float64": Case(
        IRIS, b'{"instances": [[1e999, 1, 1, 1]]}', 422, ("64-bit",), "$.instances[0][0]"
    ),
    "columns of different lengths": Case(
        IRIS,
        {"inputs": {**{name: [1, 2] for name in RECORD}, "petal_width": [1]}},
        422,
        ("expected 2 values", "got 1"),
        "$.inputs.petal_width",
    ),
    "empty body": Case(IRIS, b"", 400, ("the body is empty",)),
    "body of white space": Case(IRIS, b" \n", 400, ("the body is empty",)),
    "empty object": Case(IRIS, {}, 422, ("`instances`", "`inputs`"), "$"),
    "both forms": Case(IRIS, {"instances": [ROW], "inputs": [ROW]}, 422, ("either",), "$"),
    "empty instances": Case(IRIS, {"instances": []}, 422, ("1 or more rows", "got 0"), "$.instances"),
    "empty columns": Case(
        IRIS, {"inputs": {name: [] for name in RECORD}}, 422, ("1 or more",), "$.inputs.sepal_length"
    ),
    "instances is null": Case(IRIS, {"instances": None}, 422, ("null",), "$.instances"),
    "instances is an object": Case(IRIS, {"instances": RECORD}, 422, ("list",), "$.instances"),
    "body is a list": Case(IRIS, [ROW], 422, ("object",), "$"),
    "body is a string": Case(IRIS, "instances", 422, ("object",), "$"),
    "unknown member": Case(IRIS, {"instances": [ROW], "params": {}}, 422, ("'params'", "'instances'"), "$"),
    "misspelt features": Case(
        "/predict", {"featurs": ROW}, 422, ("'featurs'", "did you mean 'features'"), "$"
    ),
    "no features": Case("/predict", {}, 422, ("'features' is missing",), "$"),
    "features too short": Case(
        "/predict", {"features": [1]}, 422, ("expected 4 values", "got 1"), "$.features"
    ),
    "too many rows": Case(IRIS, {"instances": [ROW] * 10_001}, 422, ("10000 or fewer rows",), "$.instances"),
    "cut short": Case(IRIS, b'{"instances": [[1, 2', 400, ("cut short",)),
    "trailing text": Case(
        IRIS, b'{"instances": [[1, 2, 3, 4]]} x', 400, ("the JSON is malformed", "trailing", "byte 31")
    ),
    "not JSON": Case(IRIS, b"hello", 400, ("byte 0",)),
    "a megabyte of brackets": Case(IRIS, b"[" * 1_000_000, 422, ("object",), "$"),
    "a megabyte of brackets in a row": Case(
        IRIS, b'{"instances": ' + b"[" * 1_000_000, 422, ("float",), "$.instances[0][0]"
    ),
    "a megabyte of brackets in an unknown member": Case(
        IRIS, b'{"x": ' + b"[" * 1_000_000, 422, ("'x'",), "$"
    ),
    "a megabyte of braces": Case(IRIS, b'{"a":' * 200_000, 422, ("'a'",), "$"),
    "invalid UTF-8": Case(PENGUINS, b'{"instances": [{"island": "\xff"}]}', 400, ("UTF-8",)),
    "invalid UTF-8 outside of strings": Case(IRIS, b"\xff\xfe{}", 400, ("byte 0",)),
    "UTF-16": Case(IRIS, json.dumps({"instances": [ROW]}).encode("utf-16"), 400, ("byte 0",)),
    "half a surrogate": Case(
        PENGUINS, b'{"instances": [{"island": "\\ud800"}]}', 400, ("byte 27", "half a surrogate pair")
    ),
    "wrong media type": Case(
        IRIS, b"1,2,3,4", 415, ("text/csv", "application/json"), headers=(("content-type", "text/csv"),)
    ),
    "multipart": Case(
        IRIS,
        b"--x",
        415,
        ("multipart/form-data",),
        headers=(("content-type", "multipart/form-data; boundary=x"),),
    ),
    "wrong charset": Case(
        IRIS,
        {"instances": [ROW]},
        415,
        ("utf-16", "UTF-8"),
        headers=(("content-type", "application/json; charset=utf-16"),),
    ),
    "compressed, cut short": Case(IRIS, b"\x1f\x8b", 400, ("gzip",), headers=(("content-encoding", "gzip"),)),
    "compressed in an unknown way": Case(
        IRIS, b"x", 415, ("br", "gzip"), headers=(("content-encoding", "br"),)
    ),
    "compressed twice, said with two headers": Case(
        IRIS,
        b"\x1f\x8b",
        415,
        ("gzip",),
        headers=(("content-encoding", "gzip"), ("content-encoding", "gzip")),
    ),
    "a key that imitates a place": Case(
        IRIS, b'{"z` - at `$[%s]": 1}' % (b"9" * 5000), 422, ("is not known",), "$"
    ),
    "a huge model name": Case("/v1/models/" + "a" * 30_000 + ":predict", {}, 404, ("no model 'aaa", "…")),
    "many more rows than fit": Case(
        IRIS, {"instances": [[1, 1, 1, 1]] * 200_000}, 422, ("10000 or fewer rows", "got 200002 lists"), "$"
    ),
    "unknown model": Case("/v1/models/lily:predict", {"instances": [ROW]}, 404, ("'lily'", "GET /v1/models")),
    "unknown version": Case(
        "/v1/models/iris/versions/9:predict", {"instances": [ROW]}, 404, ("no version 9", "1, 2")
    ),
    "version that is no number": Case(
        "/v1/models/iris/versions/x:predict", {"instances": [ROW]}, 404, ("'x'", "whole")
    ),
    "version zero": Case(
        "/v1/models/iris/versions/0:predict", {"instances": [ROW]}, 404, ("'0'", "positive")
    ),
    "version with leading zero": Case(
        "/v1/models/iris/versions/01:predict", {"instances": [ROW]}, 404, ("'01'",)
    ),
    "huge version": Case(
        f"/v1/models/iris/versions/{'9' * 400}:predict", {"instances": [ROW]}, 404, ("version",)
    ),
    "unknown alias": Case(
        "/v1/models/iris/labels/stable:predict",
        {"instances": [ROW]},
        404,
        ("'stable'", "candidate, champion"),
    ),
    "unknown verb": Case("/v1/models/iris:explain", {"instances": [ROW]}, 404, ("'explain'", "predict")),
    "path that climbs": Case("/v1/models/..%2f..%2fetc%2fpasswd:predict", {}, 404, ("nothing at",)),
    "path that climbs, plain": Case("/v1/models/%2e%2e:predict", {}, 404, ("'..'",)),
    "path with a null byte": Case("/v1/models/iris%00:predict", {}, 404, ("no model",)),
    "unknown path": Case("/v1/nothing", {}, 404, ("nothing at /v1/nothing",)),
    "wrong method on a prediction": Case(IRIS, b"", 405, ("GET", "POST"), method="GET"),
    "wrong method on the simple protocol": Case("/predict", b"", 405, ("DELETE", "POST"), method="DELETE"),
    "wrong method on a description": Case("/v1/models/iris", b"", 405, ("PUT", "GET"), method="PUT"),
    "wrong method on health": Case("/health", b"", 405, ("POST", "GET"), method="POST"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_bad_input_is_refused_with_place_value_and_remedy(sample: httpx.Client, case: Case) -> None:
    content = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()
    usual = {"content-type": "application/json", "x-request-id": "bad-input"}
    said = {name for name, _ in case.headers}
    headers = [*(pair for pair in usual.items() if pair[0] not in said), *case.headers]
    response = sample.request(case.method, case.path, content=content, headers=headers)

    assert response.status_code == case.status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"] == "bad-input"
    problem = response.json()
    assert problem["status"] == case.status
    assert problem["request_id"] == "bad-input"
    assert problem["error"] == problem["detail"]
    for text in case.says:
        assert text in problem["detail"]
    assert [each["path"] for each in problem["errors"]] == ([] if case.place is None else [case.place])
    assert len(problem["detail"]) < 1000
    if case.status == 405:
        assert response.headers["allow"]


def test_none_of_it_reached_the_runtime_or_hurt_the_server(
    sample_server: RunningServer, sample: httpx.Client
) -> None:
    assert sample.post(IRIS, json={"instances": [ROW]}).json()["predictions"][0]["label"] == "setosa"
    assert [line for line in sample_server.events if line["level"] == "error"] == []


def test_a_body_over_the_limit_is_refused_before_it_is_read(sample: httpx.Client) -> None:
    response = sample.post(IRIS, content=b" " * (16 * 1024**2 + 1))
    assert response.status_code == 413
    assert "limits.max_body_bytes" in response.json()["detail"]


def test_a_chunked_body_over_the_limit_is_refused(sample: httpx.Client) -> None:
    response = sample.post(IRIS, content=(b" " * 1024**2 for _ in range(17)))
    assert response.status_code == 413
