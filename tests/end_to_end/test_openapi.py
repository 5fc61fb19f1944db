"""The OpenAPI document: valid, typed for each model, and shown by a page that needs no internet."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate

from tests.json_schemas import check, values_of
from tests.servers import RunningServer
from tests.system import require_program

MODELS = ["breast_cancer", "diabetes", "digits", "iris", "penguins"]


@pytest.fixture(scope="module")
def document(sample: httpx.Client) -> dict[str, Any]:
    response = sample.get("/schema/openapi.json")
    assert response.headers["content-type"] == "application/vnd.oai.openapi+json"
    found: dict[str, Any] = response.json()
    return found


def _schema_of(document: dict[str, Any], path: str) -> dict[str, Any]:
    """The schema of a prediction's body, with its references inside of it."""
    schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    resolved = json.loads(json.dumps({"schema": schema, "schemas": document["components"]["schemas"]}))
    text = json.dumps(resolved).replace("#/components/schemas/", "#/$defs/")
    parts = json.loads(text)
    return {**parts["schema"], "$defs": parts["schemas"]}


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    validate(document)


def test_every_prediction_route_of_every_model_is_in_it(document: dict[str, Any]) -> None:
    expected = {f"/v1/models/{name}:predict" for name in MODELS}
    expected |= {f"/v1/models/{name}/versions/1:predict" for name in MODELS}
    expected |= {"/v1/models/iris/versions/2:predict", "/predict", "/predict/batch", "/invocations"}
    expected |= {f"/v2/models/{name}/infer" for name in MODELS}
    posts = {path for path, item in document["paths"].items() if "post" in item}
    assert posts == expected


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(ids)) == len(ids)


def test_the_ordinary_routes_are_in_it(document: dict[str, Any]) -> None:
    gets = {path for path, item in document["paths"].items() if "get" in item}
    described = {f"/v1/models/{name}{more}" for name in MODELS for more in ("", "/metadata")}
    described |= {f"/v2/models/{name}{more}" for name in MODELS for more in ("", "/ready")}
    probes = {"/health", "/health/live", "/health/ready", "/ping", "/v2/health/live", "/v2/health/ready"}
    assert gets == {"/", "/version", "/metrics", "/v1/models", "/v2", *probes, *described}


def test_bodies_are_typed_by_column(document: dict[str, Any]) -> None:
    record = document["components"]["schemas"]["penguins.1.Record"]
    assert record["properties"]["body_mass_g"]["anyOf"][1] == {"type": "null"}
    assert record["properties"]["island"] == {"type": "string"}
    assert record["additionalProperties"] is False
    assert record["required"] == list(record["properties"])


def test_every_example_is_accepted(sample: httpx.Client, document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        if "post" in item:
            content = item["post"]["requestBody"]["content"]["application/json"]
            response = sample.post(path, json=content["example"])
            assert response.status_code == 200, (path, response.text)
            check(content["example"], _schema_of(document, path))
            answer = item["post"]["responses"]["200"]["content"]["application/json"]["schema"]
            check(response.json(), answer)


@pytest.mark.parametrize(
    "path", ["/predict", "/predict/batch", *(f"/v1/models/{name}:predict" for name in MODELS)]
)
def test_requests_generated_from_the_schema_are_accepted(
    sample: httpx.Client, document: dict[str, Any], path: str
) -> None:
    schema = _schema_of(document, path)
    answer = document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]

    @settings(max_examples=20, deadline=None, derandomize=True)
    @given(body=_bodies(schema))
    def accept(body: dict[str, Any]) -> None:
        response = sample.post(path, json=body)
        assert response.status_code == 200, response.text
        check(response.json(), answer)

    accept()


def _bodies(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Bodies of one member: rows or columns. JSON Schema cannot say that one of the two is wanted."""
    definition = schema["$defs"][schema["$ref"].rpartition("/")[2]]

    def one(name: str) -> st.SearchStrategy[dict[str, Any]]:
        values = values_of(definition["properties"][name], schema["$defs"])
        if name == "inputs":
            values = values.filter(_same_lengths)
        return values.map(lambda value: {name: value})

    return st.one_of([one(name) for name in definition["properties"] if name != "signature_name"])


def _same_lengths(columns: list[Any] | dict[str, list[Any]]) -> bool:
    return isinstance(columns, list) or len({len(values) for values in columns.values()}) == 1


@pytest.mark.parametrize("path", ["/schema", "/schema/"])
def test_the_page_loads_nothing_from_elsewhere(sample: httpx.Client, path: str) -> None:
    page = sample.get(path)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert address.startswith("data:") or not re.match(r"[a-z]+:|//", address)
        if not address.startswith("data:"):
            assert sample.get(str(page.url.join(address))).status_code == 200
    assert "default-src 'self'" in page.text


def test_assets_that_do_not_exist_are_not_found(sample: httpx.Client) -> None:
    for name in ("nothing.js", "..%2f..%2fapp.py", "VERSION.json", "%2e%2e"):
        assert sample.get(f"/schema/assets/{name}").status_code == 404


@pytest.mark.parametrize("path", ["/schema", "/schema/"])
def test_a_browser_without_internet_shows_every_model(
    sample_server: RunningServer, tmp_path: Any, path: str
) -> None:
    chromium = require_program("chromium")
    command = [
        chromium,
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        f"--user-data-dir={tmp_path}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--virtual-time-budget=20000",
        "--dump-dom",
        f"{sample_server.url}{path}",
    ]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert 'id="operations-predictions-predict_batch"' in shown
    for name in MODELS:
        assert f"/v1/models/{name}:predict" in re.sub(r"<wbr>|\u200b", "", shown)
