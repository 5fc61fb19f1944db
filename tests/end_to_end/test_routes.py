"""The routes of the native and the simple protocol, health, and the index."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers import SAMPLE_STORE, RunningServer, ServeStore

ROW = [5.1, 3.5, 1.4, 0.2]
RECORD = dict(zip(["sepal_length", "sepal_width", "petal_length", "petal_width"], ROW, strict=True))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A copy of the sample store that a test may change."""
    return Path(shutil.copytree(SAMPLE_STORE, tmp_path / "store"))


def test_the_issues_curl_gives_prediction_confidence_version_and_id(sample: httpx.Client) -> None:
    # `curl -d` calls any body a form.
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = sample.post("/predict", content=b'{"features":[5.1,3.5,1.4,0.2]}', headers=headers).json()
    assert answer["prediction"] == "setosa"
    assert 0.9 < answer["confidence"] <= 1
    assert answer["model_version"] == "1"
    assert answer["request_id"]


@pytest.mark.parametrize("row", [ROW, RECORD], ids=["list", "record"])
@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/v1/models/iris:predict", "1"),
        ("/v1/models/iris/versions/2:predict", "2"),
        ("/v1/models/iris/labels/candidate:predict", "2"),
        ("/v1/models/iris/labels/champion:predict", "1"),
    ],
)
def test_native_routes_answer_with_the_version_they_name(
    sample: httpx.Client, path: str, version: str, row: list[float] | dict[str, float]
) -> None:
    response = sample.post(path, json={"instances": [row, row]})
    answer = response.json()
    assert (answer["model_name"], answer["model_version"]) == ("iris", version)
    assert (response.headers["x-model-name"], response.headers["x-model-version"]) == ("iris", version)
    assert [prediction["label"] for prediction in answer["predictions"]] == ["setosa", "setosa"]


@pytest.mark.parametrize("row", [ROW, RECORD], ids=["list", "record"])
def test_the_simple_protocol_takes_rows_and_records(
    sample: httpx.Client, row: list[float] | dict[str, float]
) -> None:
    one = sample.post("/predict", json={"features": row}).json()
    many = sample.post("/predict/batch", json={"instances": [row] * 3}).json()
    assert many["count"] == 3
    assert many["predictions"] == [{"prediction": one["prediction"], "confidence": one["confidence"]}] * 3


def test_a_regressor_has_no_confidence(serve_store: ServeStore) -> None:
    server = serve_store(SAMPLE_STORE, "--default-model", "diabetes")
    row = [0.04, 0.05, 0.06, 0.02, -0.04, -0.03, -0.04, 0.0, 0.02, -0.02]
    answer = httpx.post(f"{server.url}/predict", json={"features": row}).json()
    assert isinstance(answer["prediction"], float)
    assert "confidence" not in answer


@pytest.mark.parametrize(
    "sane", ["abc-123", "a" * 128, "550e8400-e29b-41d4-a716-446655440000", "a/b:c@d=e+f_g."]
)
def test_a_sane_request_id_is_taken_over(sample: httpx.Client, sane: str) -> None:
    response = sample.post("/predict", json={"features": ROW}, headers={"x-request-id": sane})
    assert response.headers["x-request-id"] == sane
    assert response.json()["request_id"] == sane
    assert sample.get("/health", headers={"x-request-id": sane}).headers["x-request-id"] == sane


@pytest.mark.parametrize("insane", ["a b", "a" * 129, "<script>", 'x"y', "é".encode("latin-1"), b""])
def test_an_insane_request_id_is_replaced(sample: httpx.Client, insane: str | bytes) -> None:
    value = insane if isinstance(insane, bytes) else insane.encode()
    response = sample.post("/predict", json={"features": ROW}, headers=[(b"x-request-id", value)])
    assert re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]+", response.headers["x-request-id"])


def test_request_ids_differ_on_all_routes(sample: httpx.Client) -> None:
    paths = ["/health", "/", "/v1/models", "/nothing", "/schema/openapi.json", "/v1/models/iris"]
    seen = [sample.get(path).headers["x-request-id"] for path in paths * 3]
    seen += [sample.post("/predict", json={"features": ROW}).headers["x-request-id"] for _ in range(3)]
    assert len(set(seen)) == len(seen)


def test_the_list_of_models(sample: httpx.Client) -> None:
    expected = {"models": ["breast_cancer", "diabetes", "digits", "iris", "penguins"]}
    assert sample.get("/v1/models").json() == expected
    assert sample.get("/v1/models/").json() == expected


def test_a_model_describes_itself_and_its_versions(sample: httpx.Client) -> None:
    answer = sample.get("/v1/models/iris").json()
    assert (answer["name"], answer["ready"], answer["default_version"]) == ("iris", True, "1")
    assert answer["aliases"] == {"champion": "1", "candidate": "2"}
    assert [(each["version"], each["aliases"]) for each in answer["versions"]] == [
        ("1", ["champion"]),
        ("2", ["candidate"]),
    ]
    assert [each["state"] for each in answer["model_version_status"]] == ["AVAILABLE", "AVAILABLE"]
    assert answer["versions"][0]["signature"]["classes"] == ["setosa", "versicolor", "virginica"]
    for path in ("/v1/models/iris/versions/2", "/v1/models/iris/labels/candidate"):
        assert [each["version"] for each in sample.get(path).json()["versions"]] == ["2"]


@pytest.mark.parametrize(
    "path", ["/v1/models/lily", "/v1/models/iris/versions/9", "/v1/models/iris/labels/x"]
)
def test_what_does_not_exist_is_not_described(sample: httpx.Client, path: str) -> None:
    assert sample.get(path).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health",
        "/health/live",
        "/health/ready",
        "/v1/models",
        "/v1/models/iris",
        "/v1/models/iris/versions/1",
    ],
)
def test_head_gives_headers_without_a_body(sample: httpx.Client, path: str) -> None:
    response = sample.head(path)
    assert response.status_code == 200
    assert response.content == b""
    assert int(response.headers["content-length"]) == len(sample.get(path).content)


def test_a_body_that_is_decoded_in_a_thread_is_answered_like_any_other(sample: httpx.Client) -> None:
    path, row = "/v1/models/iris:predict", [5.1, 3.5, 1.4, 0.2]
    body = json.dumps({"instances": [row] * 10_000}).encode().ljust(10**6)
    predictions = sample.post(path, content=body).json()["predictions"]
    assert predictions == sample.post(path, json={"instances": [row]}).json()["predictions"] * 10_000
    refused = sample.post(path, content=body.replace(b"5.1", b"nul", 1))
    assert refused.status_code == 400


def test_the_index_links_to_what_there_is(sample: httpx.Client) -> None:
    answer = sample.get("/").json()
    assert answer["name"] == "foretell"
    for path in answer["links"].values():
        assert sample.get(path).status_code == 200


def test_health_of_a_good_store(sample: httpx.Client) -> None:
    assert sample.get("/health/live").json() == {"live": True}
    ready = sample.get("/health/ready")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "reason": None})
    health = sample.get("/health").json()
    assert (health["status"], health["ready"]) == ("ok", True)
    assert health["models"]["iris"] == {
        "ready": True,
        "default_version": "1",
        "reason": None,
        "failed_versions": {},
    }


def test_an_empty_store_is_alive_and_not_ready(serve_store: ServeStore, tmp_path: Path) -> None:
    server = serve_store(tmp_path)
    assert httpx.get(f"{server.url}/health/live").status_code == 200
    ready = httpx.get(f"{server.url}/health/ready")
    assert ready.status_code == 503
    assert "no enabled model" in ready.json()["reason"]
    assert httpx.get(f"{server.url}/health").json()["status"] == "unavailable"
    refused = httpx.post(f"{server.url}/predict", json={"features": ROW})
    assert refused.status_code == 404
    assert "store.default_model" in refused.json()["detail"] or "no model" in refused.json()["detail"]


def test_a_bad_version_is_told_of_and_harms_no_other(serve_store: ServeStore, store: Path) -> None:
    (store / "digits" / "2").mkdir()
    (store / "digits" / "2" / "model.onnx").write_bytes(b"\x08\x07junk")
    flipped = bytearray((store / "penguins" / "1" / "model.onnx").read_bytes())
    flipped[100] ^= 1
    (store / "penguins" / "1" / "model.onnx").write_bytes(flipped)
    server = serve_store(store)
    with httpx.Client(base_url=server.url) as client:
        digits = client.get("/v1/models/digits").json()
        assert (digits["ready"], digits["default_version"]) == (True, "1")
        assert "ONNX" in digits["versions"][1]["reason"]
        assert digits["model_version_status"][1]["state"] == "END"
        assert (
            client.post("/v1/models/digits/versions/2:predict", json={"instances": [[0] * 64]}).status_code
            == 503
        )
        assert client.post("/v1/models/digits:predict", json={"instances": [[0] * 64]}).status_code == 200

        penguins = client.get("/v1/models/penguins").json()
        assert penguins["ready"] is False
        assert "is not the file that was published" in penguins["versions"][0]["reason"]
        refused = client.post("/v1/models/penguins:predict", json={"instances": [[1]]})
        assert (refused.status_code, "retry-after" in refused.headers) == (503, False)

        ready = client.get("/health/ready")
        assert (ready.status_code, "penguins" in ready.json()["reason"]) == (503, True)
        assert client.post("/predict", json={"features": ROW}).status_code == 200


def test_a_disabled_model_is_not_served_and_does_not_count(serve_store: ServeStore, store: Path) -> None:
    (store / "digits" / "model.toml").write_text("enabled = false\n")
    server = serve_store(store)
    assert "digits" not in httpx.get(f"{server.url}/v1/models").json()["models"]
    assert httpx.get(f"{server.url}/health/ready").status_code == 200
    assert (
        httpx.post(f"{server.url}/v1/models/digits:predict", json={"instances": [[0] * 64]}).status_code
        == 404
    )


def test_a_models_own_row_limit(serve_store: ServeStore, store: Path) -> None:
    (store / "diabetes" / "model.toml").write_text("[limits]\nmax_rows = 2\n")
    server = serve_store(store)
    row = [0.0] * 10
    assert (
        httpx.post(f"{server.url}/v1/models/diabetes:predict", json={"instances": [row] * 2}).status_code
        == 200
    )
    refused = httpx.post(f"{server.url}/v1/models/diabetes:predict", json={"instances": [row] * 3})
    assert (refused.status_code, "2 or fewer rows, got 3" in refused.json()["detail"]) == (422, True)


def test_sigterm_and_sigint_end_the_server_in_good_order(serve_store: ServeStore) -> None:
    for number in (15, 2):
        server = serve_store(SAMPLE_STORE)
        assert httpx.get(f"{server.url}/health/live").status_code == 200
        assert server.stop(number) == 0


def test_a_port_that_is_taken_is_a_clear_failure(
    serve_store: ServeStore, sample_server: RunningServer
) -> None:
    port = sample_server.url.rpartition(":")[2]
    second = serve_store(SAMPLE_STORE, "--port", port)
    assert second.process.wait(30) == 1
    line = second.wait_for_text("is taken")
    assert line == (
        f"foretell: port {port} of 127.0.0.1 is taken: stop what listens there, or choose another with --port\n"
    )


def test_predictions_leave_a_log_line_when_asked(serve_store: ServeStore) -> None:
    server = serve_store(SAMPLE_STORE, "--set", "log.predictions=1")
    httpx.post(f"{server.url}/predict", json={"features": ROW}, headers={"x-request-id": "logged"})
    line = server.wait_for("request", request_id="logged")
    assert {key: line[key] for key in ("protocol", "model", "version", "rows", "status")} == {
        "protocol": "simple",
        "model": "iris",
        "version": 1,
        "rows": 1,
        "status": 200,
    }
    assert line["latency_ms"] >= line["run_ms"] > 0


def test_predictions_leave_no_log_line_by_default_and_failures_do(
    sample: httpx.Client, sample_server: RunningServer
) -> None:
    sample.post("/predict", json={"features": ROW}, headers={"x-request-id": "quiet"})
    sample.post("/predict", json={"features": []}, headers={"x-request-id": "loud"})
    line = sample_server.wait_for("request refused", request_id="loud")
    assert (line["status"], line["level"]) == (422, "warning")
    assert not [event for event in sample_server.events if event.get("request_id") == "quiet"]


def test_other_routes_leave_one_line_each(sample: httpx.Client, sample_server: RunningServer) -> None:
    sample.get("/health", headers={"x-request-id": "one-line"})
    line = sample_server.wait_for("request", request_id="one-line")
    assert (line["path"], line["status"]) == ("/health", 200)


def test_every_body_is_json_with_its_content_type(sample: httpx.Client) -> None:
    answers: list[Any] = [
        sample.post("/predict", json={"features": ROW}),
        sample.get("/v1/models"),
        sample.get("/health"),
    ]
    for response in answers:
        assert response.headers["content-type"] == "application/json"
        json.loads(response.content)
