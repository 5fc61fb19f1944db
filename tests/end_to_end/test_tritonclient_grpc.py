"""NVIDIA's own client over gRPC, in its own environment, speaks to a real server."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import numpy as np
import pytest
from onnxruntime import InferenceSession

from foretell.protocols.rpc import messages
from foretell.protocols.v2.datatypes import DATATYPES
from foretell.tensors import DTYPES, DTypeName
from tests.end_to_end.test_tritonclient import values_of
from tests.models import identity_bytes, linear_model_bytes, write_version
from tests.servers import ROOT, ServeStore
from tests.system import require_clients


@pytest.fixture(scope="module")
def answers(shared_store: ServeStore, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the client was answered."""
    python = require_clients()
    store = tmp_path_factory.mktemp("triton_grpc") / "model_store"
    for dtype in DATATYPES:
        write_version(store, f"same_{dtype}", 1, identity_bytes(dtype, ("batch", 2)))
    write_version(store, "linear", 1, linear_model_bytes(weights=[1.0, 2.0]))
    write_version(store, "linear", 2, linear_model_bytes(weights=[10.0, 20.0]))
    server = shared_store(store, "--grpc-port", "0", measured=False)
    tensors = {
        dtype: {
            "datatype": datatype,
            "shape": [3, 2],
            "values": values_of(dtype, (3, 2)).reshape(-1).tolist(),
        }
        for dtype, datatype in DATATYPES.items()
    }
    asked = {"address": server.wait_for("serving")["grpc"], "tensors": tensors}
    run = subprocess.run(
        [python, ROOT / "tests" / "clients" / "triton_grpc.py"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def test_the_server_and_its_models_are_ready(answers: dict[str, Any]) -> None:
    assert (answers["live"], answers["ready"], answers["models"]) == (True, True, [True, False, False])
    assert answers["server"]["name"] == "foretell"


def test_metadata_says_what_a_model_takes(answers: dict[str, Any]) -> None:
    assert answers["model"] == {
        "name": "linear",
        "versions": ["1", "2"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "X", "datatype": "FP32", "shape": ["-1", "2"]}],
        "outputs": [{"name": "Y", "datatype": "FP32", "shape": ["-1", "1"]}],
    }


@pytest.mark.parametrize("dtype", sorted(DATATYPES))
def test_every_element_type_comes_back_as_the_model_gives_it(
    answers: dict[str, Any], dtype: DTypeName
) -> None:
    values = values_of(dtype, (3, 2))
    expected = InferenceSession(identity_bytes(dtype, ("batch", 2))).run(None, {"X": values})[0]
    given = answers["same"][dtype]
    assert (given["id"], given["shape"]) == ("abc", [3, 2])
    if dtype != "string":
        assert given["dtype"] == dtype
    answered = np.array(given["values"], dtype=DTYPES[dtype].numpy).reshape(3, 2)
    np.testing.assert_array_equal(answered, expected)


def test_many_at_once_get_their_own_answers(answers: dict[str, Any]) -> None:
    assert answers["async"] == [[number, [number]] for number in range(40)]


def test_a_mistake_is_told_to_the_client(answers: dict[str, Any]) -> None:
    refused = answers["refused"]
    assert refused["shape"][0] == "StatusCode.INVALID_ARGUMENT"
    assert "expected the shape [-1, 2] for 'X', got [1, 3]" in refused["shape"][1]
    assert refused["model"][0] == "StatusCode.NOT_FOUND"
    assert refused["repository"][0] == "StatusCode.UNIMPLEMENTED"


@pytest.mark.parametrize("name", [name for name in messages.__all__ if name.startswith(("Model", "Server"))])
def test_our_messages_have_the_fields_that_the_client_knows(answers: dict[str, Any], name: str) -> None:
    def check(descriptor: Any) -> None:
        known = answers["fields"][descriptor.full_name]
        for field in descriptor.fields:
            assert [field.number, field.type, int(field.is_repeated)] == known[field.name]
            if field.message_type is not None and field.message_type.full_name != descriptor.full_name:
                check(field.message_type)
        assert {field.name for field in descriptor.fields} == set(known)

    check(getattr(messages, name).DESCRIPTOR)
