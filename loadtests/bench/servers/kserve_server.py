"""KServe's SDK; its arguments are the model's name, then those of the SDK."""

from __future__ import annotations

import logging
import sys
from typing import Any

import kserve
from onnx_model import OnnxModel


class Predictor(kserve.Model):
    """Predicts rows of the protocol V1, and tensors of V2."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.model = OnnxModel()
        self.ready = True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """Predict on the event loop."""
        del headers, response_headers
        if isinstance(payload, dict):
            return {"predictions": self.model.run_lists(payload["instances"])}
        outputs = []
        binary = payload.use_binary_outputs
        for name, answer in self.model.run(payload.inputs[0].as_numpy()).items():
            text = answer.dtype.kind == "O"
            datatype = "BYTES" if text else {"float32": "FP32", "float64": "FP64"}[answer.dtype.name]
            output = kserve.InferOutput(name, list(answer.shape), datatype)
            output.set_data_from_numpy(answer, binary_data=binary)
            outputs.append(output)
        return kserve.InferResponse(payload.id or "", self.name, outputs, use_binary_outputs=binary)


if __name__ == "__main__":
    name = sys.argv.pop(1)
    logging.disable(logging.INFO)
    kserve.ModelServer(
        workers=1,
        enable_grpc=False,
        enable_docs_url=False,
        enable_latency_logging=False,
        access_log_format=None,
    ).start([Predictor(name)])
