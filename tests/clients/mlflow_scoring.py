"""MLflow's client of its scoring server, run in an environment of its own: its requirements exclude ours.

Reads from standard input what is to be asked, as JSON, and writes what was answered to standard output.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient


def ask(host: str, port: int, rows: list[list[float]], columns: list[str]) -> dict[str, Any]:
    """Every question that the client knows."""
    client = ScoringServerClient(host, port)
    client.wait_server_ready(timeout=30)
    frame = pd.DataFrame(rows, columns=columns)
    told: dict[str, Any] = {
        "version": client.get_version(),
        "frame": client.invoke(frame).get_predictions().iloc[:, 0].tolist(),
        "another order": client.invoke(frame[columns[::-1]]).get_predictions().iloc[:, 0].tolist(),
        "params": client.invoke(frame, params={"x": 1}).get_predictions().iloc[:, 0].tolist(),
        "array": client.invoke(np.array(rows)).get_predictions("ndarray").tolist(),
    }
    try:
        client.invoke(frame[columns[:-1]])
    except Exception as error:  # noqa: BLE001 - whatever it raises is what a user sees
        told["refused"] = str(error)
    return told


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump(ask(asked["host"], asked["port"], asked["rows"], asked["columns"]), sys.stdout)
