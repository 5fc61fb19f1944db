"""How contenders are asked: rows -> a request's path, headers and body; an answer's body -> outputs."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import numpy as np

from loadtests.bench.cases import Encoding
from loadtests.bench.models import Model, Outputs

__all__ = ["FIXED", "INVOCATIONS", "NATIVE", "PLAIN", "V1", "V2", "V2_BINARY", "Dialect", "Request"]

DATATYPES: Final = {"float32": "FP32", "float64": "FP64"}
LENGTH: Final = "Inference-Header-Content-Length"


class Request(NamedTuple):
    """A request by POST."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    def encode(self) -> bytes:
        """Its bytes on the wire, for a connection that stays open."""
        lines = [f"POST {self.path} HTTP/1.1", "Host: 127.0.0.1"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode() + self.body


class Dialect(Protocol):
    """A form of questions and answers."""

    def request(self, model: Model, rows: np.ndarray) -> Request:
        """What asks for some rows, `float64[rows, features]`."""
        ...

    def read(self, model: Model, headers: Mapping[str, str], body: bytes) -> Outputs:
        """The outputs in an answer; its headers are by their names in lower case."""
        ...


def _json(path: str, content: Any) -> Request:
    return Request(path, {"Content-Type": "application/json"}, msgspec.json.encode(content))


class _Native:
    """foretell's own: rows in, a prediction for each row out."""

    def request(self, model: Model, rows: np.ndarray) -> Request:
        return _json(f"/v1/models/{model.name}:predict", {"instances": rows.tolist()})

    def read(self, model: Model, headers: Mapping[str, str], body: bytes) -> Outputs:
        del headers
        predictions = msgspec.json.decode(body)["predictions"]
        if model.estimator is None:
            return {"Y": np.array(predictions)}
        return {key: np.array([each[key] for each in predictions]) for key in ("label", "probabilities")}


class _Plain:
    """What one would write oneself: rows in, each output as one array out."""

    def __init__(self, path: str = "/predict", outputs: str | None = None) -> None:
        self._path, self._outputs = path, outputs

    def request(self, model: Model, rows: np.ndarray) -> Request:
        return _json(self._path.format(model=model.name), {"instances": rows.tolist()})

    def read(self, model: Model, headers: Mapping[str, str], body: bytes) -> Outputs:
        del model, headers
        told = msgspec.json.decode(body)
        return {
            key: np.array(value) for key, value in (told[self._outputs] if self._outputs else told).items()
        }


class _Invocations:
    """MLflow's: a tensor in, the outputs by name out."""

    def request(self, model: Model, rows: np.ndarray) -> Request:
        del model
        return _json("/invocations", {"inputs": rows.tolist()})

    def read(self, model: Model, headers: Mapping[str, str], body: bytes) -> Outputs:
        del model, headers
        return {key: np.array(value) for key, value in msgspec.json.decode(body)["predictions"].items()}


class _V2:
    """The Open Inference Protocol as JSON."""

    def request(self, model: Model, rows: np.ndarray) -> Request:
        tensor = {
            "name": "X" if model.estimator is None else "features",
            "shape": list(rows.shape),
            "datatype": DATATYPES[model.dtype.name],
            "data": rows.ravel().tolist(),
        }
        return _json(f"/v2/models/{model.name}/infer", {"inputs": [tensor]})

    def read(self, model: Model, headers: Mapping[str, str], body: bytes) -> Outputs:
        del model, headers
        outputs = msgspec.json.decode(body)["outputs"]
        return {each["name"]: np.array(each["data"]).reshape(each["shape"]) for each in outputs}


class _V2Binary:
    """The Open Inference Protocol with tensors as bytes, both ways. Source: Binary Tensor Data Extension."""

    def request(self, model: Model, rows: np.ndarray) -> Request:
        data = rows.astype(model.dtype).tobytes()
        tensor = {
            "name": "X" if model.estimator is None else "features",
            "shape": list(rows.shape),
            "datatype": DATATYPES[model.dtype.name],
            "parameters": {"binary_data_size": len(data)},
        }
        head = msgspec.json.encode({"inputs": [tensor], "parameters": {"binary_data_output": True}})
        headers = {"Content-Type": "application/octet-stream", LENGTH: str(len(head))}
        return Request(f"/v2/models/{model.name}/infer", headers, head + data)

    def read(self, model: Model, headers: Mapping[str, str], body: bytes) -> Outputs:
        del model
        at = int(headers[LENGTH.lower()])
        found: Outputs = {}
        for each in msgspec.json.decode(body[:at])["outputs"]:
            size = each["parameters"]["binary_data_size"]
            data, at = body[at : at + size], at + size
            values = _texts(data) if each["datatype"] == "BYTES" else np.frombuffer(data, "<f4")
            found[each["name"]] = np.array(values).reshape(each["shape"])
        return found


def _texts(data: bytes) -> list[str]:
    texts: list[str] = []
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        texts.append(data[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return texts


class _Fixed:
    """That of the floor: any question has the same answer, which holds no prediction."""

    def __init__(self, asked: Dialect) -> None:
        self._asked = asked

    def request(self, model: Model, rows: np.ndarray) -> Request:
        return self._asked.request(model, rows)

    def read(self, model: Model, headers: Mapping[str, str], body: bytes) -> Outputs:
        """Nothing is predicted, and nothing may come.

        Raises:
            ValueError: The body is not the floor's.
        """
        del model, headers
        if body != b"{}":
            raise ValueError(f"the floor answered {body[:100]!r}")
        return {}


NATIVE: Final[Dialect] = _Native()
PLAIN: Final[Dialect] = _Plain()
V1: Final[Dialect] = _Plain("/v1/models/{model}:predict", "predictions")
V2: Final[Dialect] = _V2()
V2_BINARY: Final[Dialect] = _V2Binary()
INVOCATIONS: Final[Dialect] = _Invocations()
FIXED: Final[Mapping[Encoding, Dialect]] = {"json": _Fixed(NATIVE), "binary": _Fixed(V2_BINARY)}
