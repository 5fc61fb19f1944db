"""A plain client of the Open Inference Protocol V2, which shares no code with the server."""

from __future__ import annotations

import http.client
import json
import struct
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import numpy as np

from foretell.tensors import Array

__all__ = ["V2Client", "Way"]

Way = Literal["flat", "nested", "binary"]
"""How tensors go: as JSON of one kind or the other, or as they are in memory. Answers come alike."""

HEADER: Final = "Inference-Header-Content-Length"
DATATYPES: Final = {
    "bool": "BOOL",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "object": "BYTES",
}
DTYPES: Final = {datatype: np.dtype(name) for name, datatype in DATATYPES.items()}
NOT_FINITE: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


class V2Client:
    """One connection that stays open, to be closed by whoever opens it.

    Args:
        url: Where the server listens.
    """

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def get(self, path: str) -> Any:
        """The JSON that there is at a path."""
        self._connection.request("GET", path)
        return json.loads(self._connection.getresponse().read())

    def infer(self, model: str, inputs: dict[str, Array], way: Way) -> tuple[int, dict[str, Array]]:
        """The status, and the outputs by name."""
        listed: list[dict[str, Any]] = []
        pieces: list[bytes] = []
        for name, array in inputs.items():
            one = {"name": name, "shape": list(array.shape), "datatype": DATATYPES[array.dtype.name]}
            if way == "binary":
                pieces.append(_bytes_of(array))
                listed.append({**one, "parameters": {"binary_data_size": len(pieces[-1])}})
            else:
                values = _values(array)
                listed.append({**one, "data": (values if way == "nested" else values.reshape(-1)).tolist()})
        message = {"inputs": listed, "parameters": {"binary_data_output": way == "binary"}}
        head = json.dumps(message, allow_nan=False).encode()
        headers = {HEADER: str(len(head))} if way == "binary" else {}
        self._connection.request("POST", f"/v2/models/{model}/infer", head + b"".join(pieces), headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            return answer.status, {}
        length = answer.getheader(HEADER)
        assert (length is None) == (way != "binary")
        return 200, _outputs(body, len(body) if length is None else int(length))


def _values(array: Array) -> Array:
    """What goes as JSON."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return array
    values = array.astype(object)
    for at in np.argwhere(~np.isfinite(array)):
        values[tuple(at)] = NOT_FINITE[str(array[tuple(at)])]
    return values


def _bytes_of(array: Array) -> bytes:
    if not array.dtype.hasobject:
        return array.tobytes()
    texts = [text.encode() for text in array.reshape(-1).tolist()]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def _outputs(body: bytes, at: int) -> dict[str, Array]:
    """The outputs in an answer of which the JSON ends somewhere."""
    outputs: dict[str, Array] = {}
    for output in json.loads(body[:at])["outputs"]:
        dtype = DTYPES[output["datatype"]]
        if "data" in output:
            array = np.array(output["data"], dtype=dtype)
        else:
            size = output["parameters"]["binary_data_size"]
            data, at = body[at : at + size], at + size
            array = _texts(data) if dtype.hasobject else np.frombuffer(data, dtype=dtype)
        outputs[output["name"]] = array.reshape(output["shape"])
    assert at == len(body)
    return outputs


def _texts(data: bytes) -> Array:
    texts: list[str] = []
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        at += 4 + length
        texts.append(data[at - length : at].decode())
    return np.array(texts, dtype=object)
