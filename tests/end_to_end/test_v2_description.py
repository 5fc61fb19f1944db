"""Every kind of answer of the Open Inference Protocol is one of its published OpenAPI description."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest

from foretell.protocols.v2.datatypes import DATATYPES
from foretell.tensors import DTypeName
from tests.models import identity_bytes, write_version
from tests.open_inference import conform
from tests.servers import ServeStore

SAMPLES = ["breast_cancer", "diabetes", "digits", "iris", "penguins"]
SHAPES: dict[str, tuple[Any, ...]] = {"scalar": (), "flat": ("n",), "deep": ("a", 2, "b")}


@pytest.fixture(scope="module")
def typed(shared_store: ServeStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server with a model of every element type and of several shapes."""
    store = tmp_path_factory.mktemp("described") / "model_store"
    for dtype in DATATYPES:
        write_version(store, f"same_{dtype}", 1, identity_bytes(dtype, ("batch", 2)))
    for name, shape in SHAPES.items():
        write_version(store, name, 1, identity_bytes("float32", shape))
    with httpx.Client(base_url=shared_store(store, measured=False).url, timeout=60) as client:
        yield client


@pytest.mark.parametrize("name", SAMPLES)
def test_answers_about_sample_models(sample: httpx.Client, name: str) -> None:
    example = sample.get("/schema/openapi.json").json()["paths"][f"/v2/models/{name}/infer"]["post"]
    body = example["requestBody"]["content"]["application/json"]["example"]
    for base in (f"/v2/models/{name}", f"/v2/models/{name}/versions/1"):
        conform("metadata_model_response", sample.get(base).json())
        assert sample.get(f"{base}/ready").status_code == 200
        answer = sample.post(f"{base}/infer", json={**body, "id": "7"})
        assert answer.status_code == 200
        conform("inference_response", answer.json())


def test_answers_about_the_server(sample: httpx.Client) -> None:
    for path in ("/v2", "/v2/"):
        conform("metadata_server_response", sample.get(path).json())


@pytest.mark.parametrize("dtype", sorted(DATATYPES))
def test_answers_of_every_type(typed: httpx.Client, dtype: DTypeName) -> None:
    values = {"string": ["a", ""], "bool": [True, False]}.get(dtype, [0, 1])
    conform("metadata_model_response", typed.get(f"/v2/models/same_{dtype}").json())
    datatype = DATATYPES[dtype]
    body = {"inputs": [{"name": "X", "shape": [1, 2], "datatype": datatype, "data": values}]}
    answer = typed.post(f"/v2/models/same_{dtype}/infer", json=body)
    assert answer.status_code == 200
    conform("inference_response", answer.json())
    assert answer.json()["outputs"][0]["data"] == values


@pytest.mark.parametrize(
    ("name", "shape", "data"),
    [
        ("scalar", [], [1.5]),
        ("flat", [0], []),
        ("flat", [3], ["NaN", "Infinity", 2]),
        ("deep", [1, 2, 2], [[[1, 2], [3, 4]]]),
    ],
    ids=["scalar", "empty", "not finite", "deep"],
)
def test_answers_of_every_shape(typed: httpx.Client, name: str, shape: list[int], data: Any) -> None:
    conform("metadata_model_response", typed.get(f"/v2/models/{name}").json())
    body = {"inputs": [{"name": "X", "shape": shape, "datatype": "FP32", "data": data}]}
    answer = typed.post(f"/v2/models/{name}/infer", json=body)
    if shape == [0]:  # a model with rows takes at least one
        assert answer.status_code == 400
        conform("inference_error_response", answer.json())
        return
    assert (answer.status_code, answer.json()["outputs"][0]["shape"]) == (200, shape)
    conform("inference_response", answer.json())


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v2/models/lily/infer", b"{}", 404),
        ("/v2/models/iris/versions/9/infer", b"{}", 404),
        ("/v2/models/iris/infer", b"{", 400),
        ("/v2/models/iris/infer", b"{}", 400),
        ("/v2/nothing", b"{}", 404),
        ("/v2/models/iris", b"{}", 405),
    ],
)
def test_refusals(sample: httpx.Client, path: str, body: bytes, status: int) -> None:
    refused = sample.post(path, content=body)
    assert refused.status_code == status
    conform("inference_error_response", refused.json())


def test_the_check_finds_what_is_not_as_described() -> None:
    wrong: list[tuple[str, object]] = [
        (
            "inference_response",
            {"model_name": "m", "outputs": [{"name": "Y", "shape": [1], "datatype": "FP32"}]},
        ),
        ("inference_response", {"model_name": "m", "outputs": [], "id": 7}),
        ("metadata_model_response", {"name": "m", "versions": [1], "platform": "p"}),
        ("metadata_server_response", {"name": "m", "version": "1"}),
        ("inference_error_response", {}),
    ]
    for name, value in wrong:
        with pytest.raises(jsonschema.ValidationError):
            conform(name, value)
