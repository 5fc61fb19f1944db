"""Requests as MLflow, SageMaker, Vertex AI and TensorFlow Serving make them, to a real server."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.models import linear_model_bytes, write_version
from tests.servers import SAMPLE_STORE, RunningServer, Serve

ROW = b"5.1,3.5,1.4,0.2"


def reached(server: RunningServer) -> str:
    """The address of a server that listens on every interface."""
    return server.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - it is asked for, not bound


@pytest.fixture(scope="module")
def vertex(shared_processes: Serve) -> Iterator[httpx.Client]:
    """The sample store as Vertex AI starts a container, but for the port, which is any free one."""
    environ = {
        "AIP_HTTP_PORT": "8080",
        "AIP_HEALTH_ROUTE": "/healthy",
        "AIP_PREDICT_ROUTE": "/v1/endpoints/7:predict",
        "AIP_STORAGE_URI": str(SAMPLE_STORE),
        "FORETELL_SERVER__PORT": "0",
    }
    server = shared_processes([sys.executable, "-m", "foretell", "serve"], environ=environ)
    with httpx.Client(base_url=reached(server), timeout=60) as client:
        yield client


@pytest.mark.parametrize("path", ["/invocations", "/v1/endpoints/7:predict"])
@pytest.mark.parametrize(
    ("content", "media"),
    [
        (b'{"instances": [[' + ROW + b"]]}", "application/json"),
        (b'{"dataframe_split": {"data": [[' + ROW + b"]]}}", "application/json"),
        (b"petal_width,petal_length,sepal_width,sepal_length\n0.2,1.4,3.5,5.1\n", "text/csv"),
        (ROW, "text/csv; charset=utf-8"),
    ],
    ids=["instances", "split", "CSV with names", "CSV"],
)
def test_the_default_model_answers(vertex: httpx.Client, path: str, content: bytes, media: str) -> None:
    answer = vertex.post(path, content=content, headers={"content-type": media})
    assert (answer.status_code, answer.json()["predictions"]) == (200, ["setosa"])
    assert answer.headers["x-model-name"] == "iris"


@pytest.mark.parametrize(
    ("content", "media", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"instances": [[1]]}', "application/json", 400),
        (b'{"instances": [[1]], "dataframe_split": {"data": [[1]]}}', "application/json", 400),
        (b"1,2\n", "text/csv", 400),
        (ROW, "text/csv; charset=latin-1", 415),
        (ROW, "application/x-npy", 415),
    ],
    ids=["JSON", "values", "two forms", "width", "charset", "media"],
)
def test_a_mistake_has_the_status_that_these_clients_know(
    vertex: httpx.Client, content: bytes, media: str, status: int
) -> None:
    refused = vertex.post("/invocations", content=content, headers={"content-type": media})
    assert (refused.status_code, bool(refused.json()["error"])) == (status, True)
    assert vertex.get("/invocations").status_code == 405


def test_probes_and_the_version_are_where_the_platforms_look(vertex: httpx.Client) -> None:
    for path in ("/ping", "/healthy", "/health", "/health/ready"):
        assert vertex.get(path).status_code == vertex.head(path).status_code == 200
    version = vertex.get("/version")
    assert version.text == importlib.metadata.version("foretell")
    assert version.headers["content-type"].startswith("text/plain")


def test_a_header_of_sagemaker_names_the_model(vertex: httpx.Client) -> None:
    row = {"instances": [[0.0] * 10]}
    for target in ("diabetes", "diabetes.tar.gz"):
        answer = vertex.post("/invocations", json=row, headers={"X-Amzn-SageMaker-Target-Model": target})
        assert answer.headers["x-model-name"] == "diabetes"
    refused = vertex.post("/invocations", json=row, headers={"X-Amzn-SageMaker-Target-Model": "../lily"})
    assert (refused.status_code, "no model" in refused.json()["error"]) == (404, True)


def test_a_server_without_models_is_not_healthy(shared_processes: Serve, tmp_path: Path) -> None:
    (tmp_path / "model_store").mkdir()
    command = [sys.executable, "-m", "foretell", "serve", "--port", "0"]
    url = shared_processes(command, cwd=tmp_path).url
    assert httpx.get(f"{url}/ping").status_code == 503
    assert httpx.post(f"{url}/invocations", json={"instances": [[1]]}).status_code == 404
    for path in ("/models", "/models/a/invoke"):
        assert httpx.post(f"{url}{path}", json={}).status_code == 404


class Hosted:
    """A server of SageMaker's multi-model endpoints, and the folders that the platform fetches models into."""

    def __init__(self, client: httpx.Client, folder: Path) -> None:
        self.client = client
        self.folder = folder

    def load(self, name: str, url: Path | str) -> httpx.Response:
        return self.client.post("/models", json={"model_name": name, "url": str(url)})

    def ask(self, name: str) -> Any:
        return self.client.post(f"/models/{name}/invoke", json={"instances": [[1, 2]]})

    def names(self) -> list[str]:
        return [each["modelName"] for each in self.client.get("/models").json()["models"]]


@pytest.fixture
def hosted(serve_processes: Serve, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Hosted]:
    environ = {"SAGEMAKER_MULTI_MODEL": "true", "FORETELL_SERVER__PORT": "0"}
    command = [sys.executable, "-m", "foretell", "serve", *getattr(request, "param", ())]
    (tmp_path / "tmp").mkdir()
    server = serve_processes(command, cwd=tmp_path, environ={**environ, "TMPDIR": str(tmp_path / "tmp")})
    with httpx.Client(base_url=reached(server), timeout=60) as client:
        yield Hosted(client, tmp_path / "fetched")


def test_models_come_and_go_as_the_platform_says(hosted: Hosted) -> None:
    write_version(hosted.folder, "whole", 1, linear_model_bytes(weights=[1.0, 2.0]))
    write_version(hosted.folder, "whole", 2, linear_model_bytes(weights=[10.0, 20.0]))
    bare = write_version(hosted.folder, "bare", 1, linear_model_bytes(weights=[0.0, 1.0]))
    name = "a" * 64
    assert hosted.names() == []
    assert hosted.client.get("/ping").status_code == 200
    assert hosted.ask(name).status_code == 404
    assert hosted.load(name, hosted.folder / "whole").status_code == 200
    assert hosted.load("bare", bare).status_code == 200
    assert hosted.ask(name).json()["predictions"] == [50.0]
    assert hosted.ask("bare").json()["predictions"] == [2.0]
    assert hosted.names() == [name, "bare"]
    assert hosted.client.get("/models/bare").json() == {"modelName": "bare", "modelUrl": str(bare)}
    again = hosted.load("bare", bare)
    assert (again.status_code, "already" in again.json()["error"]) == (409, True)
    assert hosted.client.delete(f"/models/{name}").status_code == 200
    assert hosted.client.delete("/models/bare").status_code == 200
    assert hosted.names() == []
    assert (hosted.ask(name).status_code, hosted.client.delete(f"/models/{name}").status_code) == (404, 404)
    assert (hosted.folder / "whole" / "2" / "model.onnx").exists()
    assert (bare / "model.onnx").exists()
    assert hosted.load("bare", bare).status_code == 200


def test_what_cannot_be_loaded_leaves_nothing(hosted: Hosted) -> None:
    broken = hosted.folder / "broken"
    broken.mkdir(parents=True)
    (broken / "model.onnx").write_bytes(b"no model")
    (hosted.folder / "empty").mkdir()
    for name, url, status, text in (
        ("broken", broken, 503, "failed to load 'broken'"),
        ("empty", hosted.folder / "empty", 400, "holds no model.onnx"),
        ("absent", hosted.folder / "absent", 400, "cannot be read"),
        ("../up", broken, 400, "cannot name a model"),
        ("nul", "a\0b", 400, "cannot be read"),
    ):
        refused = hosted.load(name, url)
        assert (refused.status_code, text in refused.json()["error"]) == (status, True), refused.text
        assert hosted.names() == []
    assert hosted.client.post("/models", json={"url": "/tmp"}).status_code == 400  # noqa: S108 - never used
    assert hosted.client.get("/models/a/b").status_code == 404


@pytest.mark.parametrize(
    "hosted", [("--workers", "2", "--set", f"admin.key_sha256={'0' * 64}")], indirect=True
)
def test_two_workers_never_take_two_models_under_one_name(hosted: Hosted) -> None:
    bare = write_version(hosted.folder, "bare", 1, linear_model_bytes(weights=[0.0, 1.0]))
    write_version(hosted.folder, "whole", 2, linear_model_bytes(weights=[1.0, 2.0]))
    whole = hosted.folder / "whole"
    url = str(hosted.client.base_url).rstrip("/") + "/models"
    for first, second in ((whole, bare), (bare, whole)) * 4:
        # a connection each: some to one worker, some to the other
        assert httpx.post(url, json={"model_name": "m", "url": str(first)}, timeout=60).status_code == 200
        assert httpx.post(url, json={"model_name": "m", "url": str(second)}, timeout=60).status_code == 409
        assert httpx.delete(f"{url}/m", timeout=60).status_code == 200
    assert [path.name for path in whole.iterdir()] == ["2"]


def test_a_folder_that_went_away_does_not_block_its_name(hosted: Hosted) -> None:
    bare = write_version(hosted.folder, "bare", 1, linear_model_bytes(weights=[0.0, 1.0]))
    whole = hosted.folder / "whole"
    write_version(hosted.folder, "whole", 1, linear_model_bytes(weights=[1.0, 2.0]))
    for folder in (bare, whole):
        aside = folder.with_name("aside")
        assert hosted.load("m", folder).status_code == 200
        folder.rename(aside)
        assert hosted.load("m", aside).status_code == 200
        assert hosted.client.get("/models/m").json() == {"modelName": "m", "modelUrl": str(aside)}
        assert hosted.ask("m").status_code == 200
        assert hosted.client.delete("/models/m").status_code == 200
        shutil.rmtree(aside)


def test_the_platform_s_routes_go_before_our_own(serve_processes: Serve) -> None:
    environ = {
        "AIP_HTTP_PORT": "8080",
        "AIP_HEALTH_ROUTE": "/health",
        "AIP_PREDICT_ROUTE": "/predict",
        "FORETELL_SERVER__PORT": "0",
        "FORETELL_STORE__PATH": str(SAMPLE_STORE),
    }
    server = serve_processes([sys.executable, "-m", "foretell", "serve"], environ=environ)
    with httpx.Client(base_url=reached(server), timeout=60) as client:
        answer = client.post("/predict", json={"instances": [[5.1, 3.5, 1.4, 0.2]]})
        assert answer.json()["predictions"] == ["setosa"]
        assert client.get("/health").json() == {"ready": True, "reason": None}
        assert client.head("/health").status_code == 200
        assert client.get("/health/live").status_code == 200


def test_tensorflow_serving_s_metadata_tells_the_signature(vertex: httpx.Client) -> None:
    for path in ("/v1/models/iris/metadata", "/v1/models/iris/versions/1/metadata"):
        document = vertex.get(path).json()
        assert document["model_spec"] == {"name": "iris", "version": "1", "signature_name": ""}
        signature = document["metadata"]["signature_def"]["signature_def"]["serving_default"]
        (given,) = signature["inputs"].values()
        assert given["dtype"] == "DT_FLOAT"
        assert given["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}, {"size": "4", "name": ""}]
        assert signature["method_name"] == "tensorflow/serving/predict"
    assert vertex.get("/v1/models/lily/metadata").status_code == 404
    assert vertex.get("/v1/models/iris/versions/9/metadata").status_code == 404
