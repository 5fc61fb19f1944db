"""LitServe; its argument is the port."""

from __future__ import annotations

import sys
from typing import Any

import litserve
from onnx_model import OnnxModel


class Predictor(litserve.LitAPI):
    """Predicts the rows of one request."""

    def setup(self, device: str) -> None:
        """Load the model in the worker."""
        del device
        self.model = OnnxModel()

    # LitServe asks FastAPI for what is annotated; without an annotation it takes the JSON as it is.
    def decode_request(self, request):  # noqa: ANN001, ANN201 - see above
        """The rows of a request."""
        return request["instances"]

    def predict(self, x: Any) -> Any:
        """The outputs for some rows."""
        return self.model.run_lists(x)

    def encode_response(self, output):  # noqa: ANN001, ANN201 - as above
        """The answer."""
        return output


if __name__ == "__main__":
    server = litserve.LitServer(
        Predictor(),
        accelerator="cpu",
        workers_per_device=1,
        fast_queue=True,
        timeout=False,
        disable_openapi_url=True,
    )
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="error",
        access_log=False,
        generate_client_file=False,
        loop="uvloop",
        http="httptools",
    )
