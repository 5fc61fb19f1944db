"""mosec, one worker; its arguments are mosec's, and the variable BATCH says how many requests share a run."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import numpy as np
from mosec import Server, Worker
from onnx_model import OnnxModel

BATCH = int(os.environ.get("BATCH", "1"))
_DECODER = msgspec.json.Decoder(dict[str, list[list[float]]])


class Predictor(Worker):
    """Predicts the rows of one request, or those of several in one run."""

    def __init__(self) -> None:
        super().__init__()
        self.model = OnnxModel()

    def deserialize(self, data: bytes) -> Any:
        """Read a request's body."""
        return _DECODER.decode(data)["instances"]

    def serialize(self, data: Any) -> bytes:
        """Write an answer's body."""
        return msgspec.json.encode(data)

    def forward(self, data: Any) -> Any:
        """Predict a request's rows; with batching, those of a list of requests."""
        if BATCH == 1:
            return self.model.run_lists(data)
        ends = np.cumsum([len(rows) for rows in data])[:-1]
        outputs = self.model.run([row for rows in data for row in rows])
        parts = {name: np.split(answer, ends) for name, answer in outputs.items()}
        return [{name: parts[name][number].tolist() for name in parts} for number in range(len(data))]


if __name__ == "__main__":
    server = Server()
    server.append_worker(
        Predictor, num=1, max_batch_size=BATCH, max_wait_time=1 if BATCH > 1 else 0, route="/predict"
    )
    server.run()
