"""BentoML, by its command: `bentoml serve bentoml_service:Predictor`."""

from __future__ import annotations

from typing import Any

import bentoml
from onnx_model import OnnxModel


@bentoml.service(
    workers=1,
    threads=1,
    metrics={"enabled": False},
    tracing={"sample_rate": 0.0},
    logging={"access": {"enabled": False}},
    traffic={"timeout": 60},
)
class Predictor:
    """Predicts rows."""

    def __init__(self) -> None:
        self.model = OnnxModel()

    @bentoml.api
    async def predict(self, instances: list[list[float]]) -> dict[str, Any]:
        """Predict on the event loop."""
        return self.model.run_lists(instances)
