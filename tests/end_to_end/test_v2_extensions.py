"""The extensions of the Open Inference Protocol that Triton's client knows: repository, statistics, compression."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.models import identity_bytes, linear_model_bytes, write_model_toml, write_version
from tests.servers import RunningServer, ServeStore, wait_until

KEY = "the admin key of a test"
ADMIN = {"Authorization": f"Bearer {KEY}"}
HASH = f"admin.key_sha256={hashlib.sha256(KEY.encode()).hexdigest()}"


class Place:
    """A server and its store."""

    def __init__(self, server: RunningServer, store: Path) -> None:
        self.server = server
        self.store = store
        self.url = server.url

    def predicted(self, model: str = "linear", **more: Any) -> httpx.Response:
        body = {"instances": [[1, 2]]}
        return httpx.post(f"{self.url}/v1/models/{model}:predict", json=body, **more)


@pytest.fixture(scope="module")
def place(shared_store: ServeStore, tmp_path_factory: pytest.TempPathFactory) -> Place:
    store = tmp_path_factory.mktemp("extensions") / "model_store"
    write_version(store, "linear", 1, linear_model_bytes(weights=[1.0, 2.0]))
    write_version(store, "linear", 2, linear_model_bytes(weights=[10.0, 20.0]))
    write_version(store, "same", 1, identity_bytes("float32", ("batch", 2)))
    write_version(store, "stats", 1, identity_bytes("float32", ("batch", 2)))
    return Place(shared_store(store, "--set", HASH, "--workers", "2"), store)


@pytest.fixture
def client(place: Place) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(place.url.removeprefix("http://")) as connected:
        yield connected


def test_the_server_tells_which_extensions_work(place: Place) -> None:
    assert httpx.get(f"{place.url}/v2").json()["extensions"] == [
        "binary_tensor_data",
        "model_repository",
        "statistics",
    ]


def test_what_does_not_work_is_not_told(serve_store: ServeStore, place: Place) -> None:
    url = serve_store(place.store, "--set", "plugins.enabled=tracing").url
    assert httpx.get(f"{url}/v2").json()["extensions"] == ["binary_tensor_data"]
    assert httpx.get(f"{url}/v2/models/linear/stats").status_code == 404
    refused = httpx.post(f"{url}/v2/repository/index", headers=ADMIN)
    assert (refused.status_code, refused.json()["error"]) == (
        403,
        "the admin routes are off: set admin.key_sha256 to the SHA-256 of a key",
    )


def test_the_repository_is_for_those_with_the_key(place: Place) -> None:
    for path in ("index", "models/linear/load", "models/linear/unload"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}):
            refused = httpx.post(f"{place.url}/v2/repository/{path}", headers=headers)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
    assert place.predicted().status_code == 200


def test_the_client_sees_loads_and_unloads_models(client: triton.InferenceServerClient, place: Place) -> None:
    serving = [
        {"name": name, "version": version, "state": "READY", "reason": ""}
        for name, version in (("linear", "1"), ("linear", "2"), ("same", "1"), ("stats", "1"))
    ]
    assert client.get_model_repository_index(headers=ADMIN) == serving
    write_model_toml(place.store, "same", "# kept\n")
    client.unload_model("same", headers=ADMIN)
    wait_until(lambda: all(place.predicted("same").status_code == 404 for _ in range(8)))
    assert "disabled" in place.predicted("same").json()["error"]
    toml = place.store / "same" / "model.toml"
    assert toml.read_text() == "# kept\nenabled = false\n"
    index = {entry["name"]: entry for entry in client.get_model_repository_index(headers=ADMIN)}
    assert index["same"] == {"name": "same", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}
    ready = httpx.post(f"{place.url}/v2/repository/index", json={"ready": True}, headers=ADMIN).json()
    assert {entry["name"] for entry in ready} == {"linear", "stats"}
    client.unload_model("same", headers=ADMIN)  # again: nothing to do
    client.load_model("same", headers=ADMIN)
    assert toml.read_text() == "# kept\n"
    wait_until(lambda: all(place.predicted("same").status_code == 200 for _ in range(8)))
    assert client.get_model_repository_index(headers=ADMIN) == serving


def test_a_load_tries_again_what_has_failed(
    client: triton.InferenceServerClient, place: Place, tmp_path: Path
) -> None:
    broken = place.store / "odd" / "1" / "model.onnx"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no model")
    try:
        with pytest.raises(InferenceServerException, match=r"failed to load 'odd': .*version 1: "):
            client.load_model("odd", headers=ADMIN)
        model = tmp_path / "model.onnx"
        model.write_bytes(linear_model_bytes(weights=[3.0, 0.0]))
        shutil.copy(model, broken)
        client.load_model("odd", headers=ADMIN)
        wait_until(lambda: all(place.predicted("odd").status_code == 200 for _ in range(8)))
        assert place.predicted("odd").json()["predictions"] == [3.0]
    finally:
        shutil.rmtree(place.store / "odd")
        wait_until(lambda: all(place.predicted("odd").status_code == 404 for _ in range(8)))


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("models/lily/load", {}, 404, "no model 'lily'"),
        ("models/..%2F..%2Fetc/unload", {}, 404, "nothing at"),
        ("models/linear/load", {"parameters": {"config": "{}"}}, 400, "the store alone says"),
        ("models/linear/load", {"parameters": {"file:1/model.onnx": "eA=="}}, 400, "the store alone says"),
        ("models/linear/load", {"parameters": []}, 400, "expected 'object', got 'array'"),
        ("index", {"ready": "yes"}, 400, "expected 'bool', got 'str'"),
        ("models/linear/delete", {}, 404, "nothing at"),
    ],
    ids=["model", "path", "config", "file", "parameters", "ready", "verb"],
)
def test_a_mistake_is_refused(place: Place, path: str, body: object, status: int, text: str) -> None:
    refused = httpx.post(f"{place.url}/v2/repository/{path}", json=body, headers=ADMIN)
    assert (refused.status_code, text in refused.json()["error"]) == (status, True), refused.text
    assert httpx.get(f"{place.url}/v2/repository/index").status_code == 405
    assert place.predicted().status_code == 200


def test_a_store_that_cannot_be_followed_is_not_changed(serve_store: ServeStore, tmp_path: Path) -> None:
    store = tmp_path / "model_store"
    write_version(store, "linear", 1, linear_model_bytes(weights=[1.0, 2.0]))
    url = serve_store(store, "--set", HASH, "--workers", "2", "--set", "store.follow=off").url
    refused = httpx.post(f"{url}/v2/repository/models/linear/unload", headers=ADMIN)
    assert (refused.status_code, "store.follow is off" in refused.json()["error"]) == (503, True)
    assert not (store / "linear" / "model.toml").exists()


def test_statistics_are_those_of_all_workers(serve_store: ServeStore, tmp_path: Path) -> None:
    store = tmp_path / "model_store"
    write_version(store, "linear", 1, linear_model_bytes(weights=[1.0, 2.0]))
    write_version(store, "linear", 2, linear_model_bytes(weights=[10.0, 20.0]))
    write_version(store, "same", 1, identity_bytes("float32", ("batch", 2)))
    url = serve_store(store, "--workers", "2").url
    began_ms = time.time() * 1000
    rows = [[[1, 2]], [[3, 4]], [[1, 2], [5, 6], [7, 8]]]
    for _ in range(2):
        for instances in rows:  # a connection each, so that both workers answer some
            answer = httpx.post(f"{url}/v1/models/linear:predict", json={"instances": instances})
            assert answer.status_code == 200
    for _ in range(5):
        assert httpx.post(f"{url}/v1/models/linear:predict", json={"instances": [[1]]}).status_code == 422
    with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        (told,) = client.get_inference_statistics("linear", "2")["model_stats"]
        all_of_it = client.get_inference_statistics()["model_stats"]
        both = client.get_inference_statistics("linear")["model_stats"]
    assert [(each["name"], each["version"]) for each in all_of_it] == [
        ("linear", "1"),
        ("linear", "2"),
        ("same", "1"),
    ]
    assert both == all_of_it[:2]
    assert told == both[1]
    untouched = all_of_it[2]
    assert (untouched["inference_count"], untouched["last_inference"], untouched["batch_stats"]) == (0, 0, [])
    stats = told["inference_stats"]
    assert told["inference_count"] == 10
    assert began_ms - 1 <= told["last_inference"] <= time.time() * 1000 + 1
    assert stats["success"]["count"] == 6
    assert stats["fail"]["count"] == 5
    hits, misses = stats["cache_hit"]["count"], stats["cache_miss"]["count"]
    assert told["execution_count"] == stats["compute_infer"]["count"] == 6 - hits
    assert sum(each["compute_infer"]["count"] for each in told["batch_stats"]) == 6 - hits
    assert {each["batch_size"] for each in told["batch_stats"]} == {1, 4}
    assert hits + misses <= 6  # the cache leaves alone what it would slow down
    for part in ("compute_input", "compute_infer", "compute_output"):
        assert 0 < stats[part]["ns"] < stats["success"]["ns"]
    with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        for model, version in (("lily", ""), ("linear", "9"), ("linear", "x")):
            with pytest.raises(InferenceServerException) as refused:
                client.get_inference_statistics(model, version)
            assert refused.value.status() == "404"


def test_binary_data_without_their_header_are_told_what_is_missing(place: Place) -> None:
    media = {"content-type": "application/octet-stream"}
    for body in (b"\x00\x00\x80?", b"7"):
        refused = httpx.post(f"{place.url}/v2/models/linear/infer", content=body, headers=media)
        assert (refused.status_code, "Inference-Header-Content-Length" in refused.json()["error"]) == (
            400,
            True,
        )


def test_a_model_may_be_called_stats(place: Place) -> None:
    assert httpx.get(f"{place.url}/v2/models/stats").json()["name"] == "stats"
    assert httpx.get(f"{place.url}/v2/models/stats/stats").json()["model_stats"][0]["name"] == "stats"


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_a_large_answer_is_compressed_for_those_who_ask(
    client: triton.InferenceServerClient, algorithm: str
) -> None:
    for rows in (10, 3000):  # as it is, and compressed
        values = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
        given = triton.InferInput("X", [rows, 2], "FP32")
        given.set_data_from_numpy(values)
        answer = client.infer("same", [given], response_compression_algorithm=algorithm)
        np.testing.assert_array_equal(answer.as_numpy("Y"), values)


def test_compression_is_said_in_headers(place: Place) -> None:
    body = {"instances": [[number, 0.5] for number in range(3000)]}
    url = f"{place.url}/v1/models/same:predict"
    with httpx.Client() as client:
        plain = client.post(url, json=body, headers={"accept-encoding": "identity"})
        packed = client.post(url, json=body, headers={"accept-encoding": "gzip"})
        short = client.post(url, json={"instances": [[1, 2]]}, headers={"accept-encoding": "gzip"})
        with client.stream("POST", url, json=body, headers={"accept-encoding": "gzip"}) as raw:
            sent = b"".join(raw.iter_raw())
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json()["predictions"] == plain.json()["predictions"]
    assert gzip.decompress(sent)
    assert len(sent) < len(plain.content) / 3
    assert plain.headers["vary"] == packed.headers["vary"] == "accept-encoding"
    assert "content-encoding" not in plain.headers
    assert "content-encoding" not in short.headers
    assert "vary" not in short.headers


@pytest.mark.parametrize("binary", [False, True], ids=["JSON", "binary"])
def test_numbers_that_json_does_not_have_come_as_clients_write_them(
    client: triton.InferenceServerClient, binary: bool
) -> None:
    values = np.array([[np.nan, np.inf], [-np.inf, 1.5]], dtype=np.float32)
    given = triton.InferInput("X", [2, 2], "FP32")
    given.set_data_from_numpy(values, binary_data=binary)
    outputs = [triton.InferRequestedOutput("Y", binary_data=binary)]
    answer = client.infer("same", [given], outputs=outputs)
    np.testing.assert_array_equal(answer.as_numpy("Y").astype(np.float32), values)


def test_a_model_that_is_asleep_is_ready_and_tells_what_it_takes(
    serve_store: ServeStore, tmp_path: Path
) -> None:
    store = tmp_path / "model_store"
    for name in ("one", "two", "three", "four"):
        write_version(store, name, 1, linear_model_bytes(weights=[1.0, 2.0]))
    url = serve_store(store, "--set", "engine.lazy=true", "--set", HASH).url
    with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        assert client.is_model_ready("one")
        assert client.is_model_ready("one", "1")
        assert not client.is_model_ready("one", "2")
        states = {entry["name"]: entry for entry in client.get_model_repository_index(headers=ADMIN)}
        assert states["one"]["reason"] == "it is loaded when somebody asks it"
        assert client.get_model_metadata("one")["inputs"][0]["shape"] == [-1, 2]
        assert client.get_model_metadata("two", "1")["versions"] == ["1"]
        client.load_model("four", headers=ADMIN)
        states = {entry["name"]: entry for entry in client.get_model_repository_index(headers=ADMIN)}
        assert [states[name]["state"] for name in ("one", "two", "three", "four")] == [
            "READY",
            "READY",
            "UNAVAILABLE",
            "READY",
        ]
    assert httpx.get(f"{url}/v1/models/three/metadata").json()["model_spec"]["name"] == "three"


def test_workers_that_have_not_followed_yet_do_not_lie(place: Place) -> None:
    for _ in range(6):  # a connection each: some to one worker, some to the other
        for verb in ("unload", "load"):
            answer = httpx.post(f"{place.url}/v2/repository/models/same/{verb}", headers=ADMIN)
            assert answer.status_code == 200, answer.text
    wait_until(lambda: all(place.predicted("same").status_code == 200 for _ in range(8)))


def test_statistics_outlive_what_made_room(serve_store: ServeStore, tmp_path: Path) -> None:
    store = tmp_path / "model_store"
    for name in ("one", "two"):
        write_version(store, name, 1, linear_model_bytes(weights=[1.0, 2.0]))
    url = serve_store(store, "--set", "engine.max_loaded_models=1").url
    for name in ("one", "two"):
        answer = httpx.post(f"{url}/v1/models/{name}:predict", json={"instances": [[1, 2]]})
        assert answer.status_code == 200
    (told,) = httpx.get(f"{url}/v2/models/one/stats").json()["model_stats"]
    assert told["inference_count"] == 1
    assert httpx.get(f"{url}/v2/models/one/versions/1/stats").json()["model_stats"] == [told]
