"""Valid requests of the Open Inference Protocol, damaged in a thousand ways: refused or answered rightly, never a fault."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import httpx
import numpy as np

from tests.models import linear_model_bytes, write_version
from tests.servers import ServeStore

HEADER = "Inference-Header-Content-Length"
MUTATIONS = 1000
WORDS = (
    b"0",
    b"-1",
    b"1e9",
    b"NaN",
    b"null",
    b"[]",
    b"{}",
    b'"',
    b"[[[[",
    b"9" * 30,
    b"true",
    b"\xff",
    b"\0",
)


def valid(chance: random.Random) -> tuple[bytes, int]:
    """A request in which the tensor comes as binary data, and the length of its JSON."""
    rows = chance.randrange(1, 5)
    tensor = np.arange(rows * 2, dtype="<f4")
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "X",
                    "shape": [rows, 2],
                    "datatype": "FP32",
                    "parameters": {"binary_data_size": tensor.nbytes},
                }
            ],
            "parameters": {"binary_data_output": chance.random() < 0.5},
        }
    ).encode()
    return head + tensor.tobytes(), len(head)


def damaged(chance: random.Random, body: bytes, length: int) -> tuple[bytes, str]:
    """One or several things wrong with it."""
    header = str(length)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(body) + 1)
        kind = chance.randrange(6)
        if kind == 0:
            body = body[:at]
        elif kind == 1:
            body = body[:at] + chance.choice(WORDS) + body[at:]
        elif kind == 2:
            body = body[:at] + chance.choice(WORDS) + body[at + chance.randrange(6) :]
        elif kind == 3:
            body += chance.randbytes(chance.randrange(40))
        elif kind == 4:
            body = body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
        else:
            header = chance.choice(
                (str(chance.randrange(200)), "-1", "x", "1e2", "9" * 30, str(length + 1), "0")
            )
    return body, header


def outputs_of(answer: httpx.Response) -> list[float]:
    """The numbers of an answer, whichever way they came."""
    length = answer.headers.get(HEADER)
    if length is None:
        data: list[float] = answer.json()["outputs"][0]["data"]
        return data
    numbers = answer.content[int(length) :]
    return list(struct.unpack(f"<{len(numbers) // 4}f", numbers))


def test_a_damaged_request_is_refused_or_answered_rightly(serve_store: ServeStore, store: Path) -> None:
    write_version(store, "m", 1, linear_model_bytes(weights=[1.0, 2.0]))
    server = serve_store(store, "--set", "limits.max_body_bytes=100000")
    chance = random.Random(7)
    statuses: set[int] = set()
    with httpx.Client(base_url=server.url, timeout=20) as client:
        for number in range(MUTATIONS):
            body, header = damaged(chance, *valid(chance))
            answer = client.post("/v2/models/m/infer", content=body, headers={HEADER: header})
            statuses.add(answer.status_code)
            assert answer.status_code in {200, 400}, (number, header, body, answer.text)
            if answer.status_code == 200:
                start = int(header)
                sent = np.frombuffer(body[start:], dtype="<f4").reshape(-1, 2)
                expected = (sent.astype(np.float64) @ [1.0, 2.0]).astype(np.float32)
                np.testing.assert_allclose(outputs_of(answer), expected, rtol=1e-5, equal_nan=True)
        body, length = valid(chance)
        assert (
            client.post("/v2/models/m/infer", content=body, headers={HEADER: str(length)}).status_code == 200
        )
    assert statuses == {200, 400}
    assert not any("Traceback" in line for line in server.raw)
