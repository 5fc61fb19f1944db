"""KServe's REST client, both of its protocols, run in an environment of its own: its requirements exclude ours.

Reads from standard input what is to be asked, as JSON, and writes what was answered to standard output.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig


async def ask(url: str, model: str, rows: list[list[float]]) -> dict[str, Any]:
    """Every question that the client knows, about one model."""
    told: dict[str, Any] = {}
    first = InferenceRESTClient(RESTConfig(protocol="v1", retries=1))
    told["v1"] = (await first.infer(url, {"instances": rows}, model_name=model))["predictions"]
    told["v1 ready"] = await first.is_model_ready(url, model)
    told["v1 live"] = await first.is_server_live(url)
    given = InferInput("features", [len(rows), len(rows[0])], "FP32")
    second = InferenceRESTClient(RESTConfig(protocol="v2", retries=1))
    for binary in (False, True):
        given.set_data_from_numpy(np.array(rows, dtype=np.float32), binary_data=binary)
        request = InferRequest(model, [given], request_id="7")
        answer = await second.infer(url, request, model_name=model)
        told[f"v2 {binary}"] = {output.name: output.as_numpy().tolist() for output in answer.outputs}
        told["id"] = answer.id
    told["v2 ready"] = await second.is_model_ready(url, model)
    told["v2 live"] = await second.is_server_live(url)
    told["v2 server"] = await second.is_server_ready(url)
    try:
        await second.infer(url, InferRequest("lily", [given]), model_name="lily")
    except Exception as error:  # noqa: BLE001 - whatever it raises is what a user sees
        told["refused"] = str(error)
    await first.close()
    await second.close()
    return told


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump(asyncio.run(ask(asked["url"], asked["model"], asked["rows"])), sys.stdout)
