"""The answer over HTTP is the original estimator's, for every sample model."""

from __future__ import annotations

import math
from typing import Any, cast

import httpx
import numpy as np
import pandas as pd
import pytest

from scripts.build_store import SAMPLES, SEED, SampleModel, held_back_rows

ROWS = 200

VERSIONS = [(name, version) for name in SAMPLES for version in range(1, (2 if name == "iris" else 1) + 1)]


@pytest.fixture(scope="module", params=VERSIONS, ids=[f"{name}-{version}" for name, version in VERSIONS])
def trained(request: pytest.FixtureRequest) -> tuple[SampleModel, int]:
    name, version = cast("tuple[str, int]", request.param)
    return SAMPLES[name](SEED)[version - 1], version


def _values(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as JSON records, gaps as null."""
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in record.items()} for record in records]


def _predict(client: httpx.Client, model: SampleModel, version: int, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post(f"/v1/models/{model.name}/versions/{version}:predict", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert (answer["model_name"], answer["model_version"]) == (model.name, str(version))
    return answer


def _assert_equals_original(
    model: SampleModel, predictions: list[Any], rows: pd.DataFrame, tolerance: float
) -> None:
    expected = model.estimator.predict(rows)
    if hasattr(model.estimator, "predict_proba"):
        assert [prediction["label"] for prediction in predictions] == expected.tolist()
        served = np.array([prediction["probabilities"] for prediction in predictions])
        np.testing.assert_allclose(
            served, model.estimator.predict_proba(rows), rtol=tolerance, atol=tolerance
        )
    else:
        np.testing.assert_allclose(predictions, expected, rtol=tolerance, atol=tolerance)


def test_rows_records_and_columns_give_the_original_estimators_answers(
    sample: httpx.Client, trained: tuple[SampleModel, int]
) -> None:
    model, version = trained
    rows = held_back_rows(model, ROWS)
    described = sample.get(f"/v1/models/{model.name}/versions/{version}").json()["versions"][0]
    tolerance = described["parity"]["tolerance"]
    records = _values(rows)

    by_record = _predict(sample, model, version, {"instances": records})["predictions"]
    by_list = _predict(sample, model, version, {"instances": [list(record.values()) for record in records]})
    columns = {name: [record[name] for record in records] for name in rows.columns}
    by_column = _predict(sample, model, version, {"inputs": columns})["outputs"]

    assert len(by_record) == ROWS
    _assert_equals_original(model, by_record, rows, tolerance)
    assert by_list["predictions"] == by_record
    for name, values in by_column.items():
        # A column of width one: scalars in rows, `[batch, 1]` in the column form.
        assert values == [row[name] if isinstance(row, dict) else [row] for row in by_record]


def test_one_row_at_a_time_gives_what_all_rows_together_give(
    sample: httpx.Client, trained: tuple[SampleModel, int]
) -> None:
    model, version = trained
    rows = held_back_rows(model, 20)
    one_by_one = [
        _predict(sample, model, version, {"instances": [record]})["predictions"][0]
        for record in _values(rows)
    ]
    _assert_equals_original(model, one_by_one, rows, 1e-5)


def test_the_simple_protocol_gives_label_and_highest_probability(sample: httpx.Client) -> None:
    model = SAMPLES["iris"](SEED)[0]
    rows = held_back_rows(model, 50)
    answer = sample.post("/predict/batch", json={"instances": _values(rows)}).json()
    expected = model.estimator.predict_proba(rows)
    assert answer["count"] == 50
    assert [each["prediction"] for each in answer["predictions"]] == model.estimator.predict(rows).tolist()
    for each, probabilities in zip(answer["predictions"], expected, strict=True):
        assert math.isclose(each["confidence"], probabilities.max(), rel_tol=1e-5)


def test_the_store_in_the_repository_is_what_the_script_publishes(
    sample: httpx.Client, trained: tuple[SampleModel, int]
) -> None:
    model, version = trained
    described = sample.get(f"/v1/models/{model.name}/versions/{version}").json()["versions"][0]
    assert described["description"] == model.description
    assert [column["name"] for column in described["signature"]["columns"]] == list(model.train.columns)
    assert described["parity"]["label_disagreements"] == 0
    assert not described["parity"].get("accepted_mismatch", False)
