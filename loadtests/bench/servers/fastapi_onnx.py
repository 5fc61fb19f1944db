"""FastAPI on ONNX Runtime: rows checked by pydantic, an answer that is written by orjson at once."""

from __future__ import annotations

import orjson
from fastapi import FastAPI, Response
from onnx_model import OnnxModel
from pydantic import BaseModel

app = FastAPI(openapi_url=None)
model = OnnxModel()


class Question(BaseModel):
    """Some rows."""

    instances: list[list[float]]


@app.post("/predict")
async def predict(question: Question) -> Response:
    """Predict on the event loop: a thread would cost more than it frees, with one CPU."""
    return Response(orjson.dumps(model.run_lists(question.instances)), media_type="application/json")
