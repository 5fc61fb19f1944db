"""The clients of KServe and MLflow ask a real server, and hear what the runtime itself answers."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
from typing import Any

import numpy as np
import pytest
from onnxruntime import InferenceSession

from tests.servers import ROOT, SAMPLE_STORE, RunningServer
from tests.system import require_clients

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [5.9, 3.0, 4.2, 1.5]]
COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


def ask(script: str, question: dict[str, Any]) -> dict[str, Any]:
    """What a client's script tells that was asked."""
    ran = subprocess.run(
        [require_clients(), ROOT / "tests" / "clients" / script],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


@pytest.fixture(scope="module")
def expected() -> tuple[list[str], list[list[float]]]:
    """The labels and probabilities that the runtime gives for the rows."""
    session = InferenceSession(str(SAMPLE_STORE / "iris" / "1" / "model.onnx"))
    (given,) = session.get_inputs()
    outputs = session.run(["label", "probabilities"], {given.name: np.array(ROWS, dtype=np.float32)})
    return outputs[0].tolist(), outputs[1].tolist()


def test_kserve_s_client_hears_what_the_runtime_answers(
    sample_server: RunningServer, expected: tuple[list[str], list[list[float]]]
) -> None:
    told = ask("kserve_rest.py", {"url": sample_server.url, "model": "iris", "rows": ROWS})
    labels, probabilities = expected
    assert [row["label"] for row in told["v1"]] == labels
    np.testing.assert_array_equal(
        np.array([row["probabilities"] for row in told["v1"]], dtype=np.float32),
        np.array(probabilities, dtype=np.float32),
    )
    for binary in (False, True):
        answer = told[f"v2 {binary}"]
        assert answer["label"] == labels
        np.testing.assert_array_equal(
            np.array(answer["probabilities"], dtype=np.float32), np.array(probabilities, dtype=np.float32)
        )
    assert told["id"] == "7"
    for state in ("v1 ready", "v1 live", "v2 ready", "v2 live", "v2 server"):
        assert told[state] is True, state
    assert "404" in told["refused"]


def test_mlflow_s_client_hears_what_the_runtime_answers(
    sample_server: RunningServer, expected: tuple[list[str], list[list[float]]]
) -> None:
    host, _, port = sample_server.url.removeprefix("http://").partition(":")
    told = ask("mlflow_scoring.py", {"host": host, "port": int(port), "rows": ROWS, "columns": COLUMNS})
    labels, _ = expected
    for form in ("frame", "another order", "params", "array"):
        assert told[form] == labels, form
    assert told["version"] == importlib.metadata.version("foretell")
    assert "error code 400" in told["refused"]
    assert "'petal_width' is missing" in told["refused"]
