"""NVIDIA's client over gRPC, run in an environment of its own: its requirements exclude ours.

Reads from standard input what is to be asked, as JSON, and writes what was answered to standard output.
"""

from __future__ import annotations

import json
import queue
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

_ASYNC = 40


def tensor(name: str, datatype: str, shape: list[int], values: list[Any]) -> Any:
    """An input of a request."""
    given = triton.InferInput(name, shape, datatype)
    dtype: Any = np.dtype(object) if datatype == "BYTES" else triton_to_np_dtype(datatype)
    given.set_data_from_numpy(np.array(values, dtype=dtype).reshape(shape))
    return given


def plain(array: Any) -> Any:
    """A tensor as JSON."""
    return [each.decode() if isinstance(each, bytes) else each for each in array.reshape(-1).tolist()]


def failure(call: Any) -> list[str]:
    """The status and the message with which something is refused."""
    try:
        call()
    except InferenceServerException as error:
        return [str(error.status()), str(error.message())]
    return ["answered", ""]


def fields() -> dict[str, dict[str, list[int]]]:
    """The number, the type and the label of each field of the messages that this client was made with."""
    found: dict[str, dict[str, list[int]]] = {}

    def add(descriptor: Any) -> None:
        # A label goes by another name in later releases of protobuf.
        found[descriptor.full_name] = {
            field.name: [field.number, field.type, int(field.is_repeated)] for field in descriptor.fields
        }
        for nested in descriptor.nested_types:
            add(nested)

    for descriptor in service_pb2.DESCRIPTOR.message_types_by_name.values():
        add(descriptor)
    return found


def main() -> None:
    """Ask everything."""
    asked = json.load(sys.stdin)
    client = triton.InferenceServerClient(asked["address"])
    answers: dict[str, Any] = {
        "fields": fields(),
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "server": client.get_server_metadata(as_json=True),
        "model": client.get_model_metadata("linear", as_json=True),
        "models": [
            client.is_model_ready(*model) for model in (("linear", "1"), ("linear", "3"), ("lily", ""))
        ],
        "same": {},
    }
    for name, given in asked["tensors"].items():
        inputs = [tensor("X", given["datatype"], given["shape"], given["values"])]
        outputs = [triton.InferRequestedOutput("Y")]
        result = client.infer(f"same_{name}", inputs, outputs=outputs, request_id="abc")
        array = result.as_numpy("Y")
        answers["same"][name] = {
            "id": result.get_response().id,
            "dtype": str(array.dtype),
            "shape": list(array.shape),
            "values": plain(array),
        }
    answered: queue.Queue[Any] = queue.Queue()
    for number in range(_ASYNC):

        def take(result: Any, error: Any, number: int = number) -> None:
            answered.put([number, str(error) if result is None else plain(result.as_numpy("Y"))])

        inputs = [tensor("X", "FP32", [1, 2], [number, 0])]
        client.async_infer("linear", inputs, take, model_version="1")
    answers["async"] = sorted(answered.get(timeout=60) for _ in range(_ASYNC))
    wrong = [tensor("X", "FP32", [1, 3], [1, 2, 3])]
    sound = [tensor("X", "FP32", [1, 2], [1, 2])]
    answers["refused"] = {
        "shape": failure(lambda: client.infer("linear", wrong)),
        "model": failure(lambda: client.infer("lily", sound)),
        "repository": failure(client.get_model_repository_index),
    }
    client.close()
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
