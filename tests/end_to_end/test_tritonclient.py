"""NVIDIA's own client speaks to a real server: every element type, as JSON and as binary data, one by one and at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from onnxruntime import InferenceSession
from tritonclient.utils import InferenceServerException

from foretell.protocols.v2.datatypes import DATATYPES
from foretell.tensors import Array, DTypeName
from tests.models import identity_bytes, linear_model_bytes, slow_model_bytes, two_input_bytes, write_version
from tests.servers import ServeStore

Client = triton.InferenceServerClient
SEED = 5


def values_of(dtype: DTypeName, shape: tuple[int, ...]) -> Array:
    """Values that use much of what a type can hold."""
    rng = np.random.default_rng(SEED)
    if dtype == "string":
        return np.array(rng.choice(["", "a", "ü🌸", "x" * 300, '"\\'], shape), dtype=object)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.startswith("float"):
        return rng.standard_normal(shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


@pytest.fixture(scope="module")
def url(shared_store: ServeStore, tmp_path_factory: pytest.TempPathFactory) -> str:
    store = tmp_path_factory.mktemp("triton") / "model_store"
    for dtype in DATATYPES:
        write_version(store, f"same_{dtype}", 1, identity_bytes(dtype, ("batch", 2)))
    write_version(store, "linear", 1, linear_model_bytes(weights=[1.0, 2.0]))
    write_version(store, "linear", 2, linear_model_bytes(weights=[10.0, 20.0]))
    write_version(store, "two", 1, two_input_bytes())
    write_version(store, "slow", 1, slow_model_bytes(256, 200))
    return shared_store(store, measured=False).url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with triton.InferenceServerClient(url.removeprefix("http://"), concurrency=4) as connected:
        yield connected


def tensor(name: str, values: Array, *, binary: bool) -> Any:
    datatypes = {str(dtype): datatype for dtype, datatype in DATATYPES.items()}
    given = triton.InferInput(name, list(values.shape), datatypes.get(values.dtype.name, "BYTES"))
    given.set_data_from_numpy(values, binary_data=binary)
    return given


def row(*values: float, binary: bool = True) -> list[Any]:
    return [tensor("X", np.array([values], dtype=np.float32), binary=binary)]


def test_the_server_and_its_models_are_ready(client: Client) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("linear")
    assert client.is_model_ready("linear", "1")
    assert not client.is_model_ready("lily")
    assert not client.is_model_ready("linear", "3")


def test_metadata_says_what_a_model_takes(client: Client) -> None:
    assert client.get_server_metadata()["name"] == "foretell"
    assert client.get_model_metadata("linear", "1") == {
        "name": "linear",
        "versions": ["1", "2"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "X", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "Y", "datatype": "FP32", "shape": [-1, 1]}],
    }


# This client itself refuses to write FP16 as JSON.
WAYS = [
    (dtype, binary)
    for dtype in sorted(DATATYPES)
    for binary in (True, False)
    if (dtype, binary) != ("float16", False)
]


@pytest.mark.parametrize("binary_out", [True, False], ids=["binary out", "JSON out"])
@pytest.mark.parametrize(("dtype", "binary_in"), WAYS)
def test_every_element_type_comes_back_as_the_model_gives_it(
    client: Client, dtype: DTypeName, binary_in: bool, binary_out: bool
) -> None:
    values = values_of(dtype, (3, 2))
    expected = InferenceSession(identity_bytes(dtype, ("batch", 2))).run(None, {"X": values})[0]
    outputs = [triton.InferRequestedOutput("Y", binary_data=binary_out)]
    given = client.infer(
        f"same_{dtype}", [tensor("X", values, binary=binary_in)], outputs=outputs, request_id="abc"
    )
    assert given.get_response()["id"] == "abc"
    answered = given.as_numpy("Y")
    if dtype == "string" and binary_out:
        answered = np.array([each.decode() for each in answered.reshape(-1)], dtype=object).reshape(
            answered.shape
        )
    np.testing.assert_array_equal(answered, expected)


@pytest.mark.parametrize(("version", "expected"), [("", 50), ("1", 5), ("2", 50)])
def test_the_named_version_answers(client: Client, version: str, expected: float) -> None:
    given = client.infer("linear", row(1, 2), model_version=version)
    assert given.as_numpy("Y").tolist() == [[expected]]
    assert given.get_response()["model_version"] == (version or "2")


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_a_request_may_be_compressed(client: Client, algorithm: str) -> None:
    for binary in (True, False):
        given = client.infer(
            "linear", row(1, 2, binary=binary), request_compression_algorithm=algorithm, model_version="1"
        )
        assert given.as_numpy("Y").tolist() == [[5]]


def test_many_at_once_get_their_own_answers(client: Client) -> None:
    asked = [client.async_infer("linear", row(number, 0), model_version="1") for number in range(40)]
    assert [each.get_result().as_numpy("Y").tolist() for each in asked] == [
        [[number]] for number in range(40)
    ]


def test_a_deadline_in_the_body_is_kept(client: Client) -> None:
    values = np.ones((1000, 256), dtype=np.float32)
    with pytest.raises(
        InferenceServerException, match=r"did not answer before the deadline \(parameters\.timeout\)"
    ):
        client.infer("slow", [tensor("X", values, binary=True)], timeout=1000)


@pytest.mark.parametrize(
    ("model", "inputs", "status", "text"),
    [
        ("lily", lambda: row(1, 2), "404", "no model 'lily'"),
        ("linear", lambda: row(1, 2, 3), "400", "expected the shape"),
        (
            "linear",
            lambda: [tensor("X", np.ones((1, 2)), binary=True)],
            "400",
            "expected FP32 for 'X', got 'FP64'",
        ),
        (
            "linear",
            lambda: [tensor("W", np.ones((1, 2), dtype=np.float32), binary=True)],
            "400",
            "not an input",
        ),
        ("linear", list, "400", "'X' is missing"),
    ],
    ids=["model", "shape", "type", "name", "none"],
)
def test_a_mistake_is_told_to_the_client(
    client: Client, model: str, inputs: Any, status: str, text: str
) -> None:
    with pytest.raises(InferenceServerException, match=text) as refused:
        client.infer(model, inputs())
    assert refused.value.status() == status


def test_what_no_client_sends_is_refused_too(url: str) -> None:
    assert httpx.get(f"{url}/v2/").status_code == 200
    assert httpx.get(f"{url}/v2/nothing").status_code == 404
    assert httpx.post(f"{url}/v2").status_code == 405
    assert httpx.get(f"{url}/v2/models/linear/infer").status_code == 405
    media = {"content-type": "text/csv"}
    refused = httpx.post(f"{url}/v2/models/linear/infer", content=b"1,2", headers=media)
    assert (refused.status_code, "octet-stream" in refused.json()["error"]) == (415, True)
    broken = httpx.post(f"{url}/v2/models/linear/infer", content=b"{")
    assert (broken.status_code, broken.json()["errors"]) == (400, [])
