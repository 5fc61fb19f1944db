"""FastAPI on a scikit-learn estimator that joblib has dumped, as many tutorials have it."""

from __future__ import annotations

import os

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI(openapi_url=None)
estimator = joblib.load(os.environ["ESTIMATOR"])


class Question(BaseModel):
    """Some rows."""

    instances: list[list[float]]


class Answer(BaseModel):
    """A label for each row, and the probability of each class."""

    label: list[str] | list[int]
    probabilities: list[list[float]]


@app.post("/predict")
async def predict(question: Question) -> Answer:
    """Predict: one pass through the estimator, from whose probabilities the label follows."""
    probabilities = estimator.predict_proba(np.array(question.instances))
    label = estimator.classes_[probabilities.argmax(axis=1)]
    return Answer(label=label.tolist(), probabilities=probabilities.tolist())
