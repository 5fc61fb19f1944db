"""ONNX Runtime is imported late, quiet, and with its telemetry off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

WATCH = """
import json, os, sys
seen = {}

def watch(event, arguments):
    if event == "import" and arguments[0] == "onnxruntime":
        seen.update({key: os.environ.get(key) for key in ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED")})
    if event.startswith("socket."):
        seen.setdefault("sockets", []).append(event)

sys.addaudithook(watch)
import foretell.engine.session, foretell.engine.loader, foretell.engine.registry
early = "onnxruntime" in sys.modules
from foretell.engine.session import Session
from tests.models import linear_model_bytes
import numpy as np
Session(linear_model_bytes()).run({"X": np.zeros((1, 2), dtype=np.float32)})
links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")]
print(json.dumps({"early": early, "seen": seen, "sockets": [link for link in links if link.startswith("socket:")]}))
"""


def watch(**environ: str) -> dict[str, Any]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ORT_")}
    done = subprocess.run(
        [sys.executable, "-c", WATCH],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env={**kept, "PYTHONPATH": str(ROOT), **environ},
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_telemetry_is_off_before_the_library_is_imported_and_no_socket_is_opened() -> None:
    assert watch() == {
        "early": False,
        "seen": {"ORT_DISABLE_TELEMETRY": "1", "ORT_TELEMETRY_DISABLED": "1"},
        "sockets": [],
    }


def test_telemetry_is_off_even_if_the_environment_asks_for_it() -> None:
    assert watch(ORT_DISABLE_TELEMETRY="0", ORT_TELEMETRY_DISABLED="0")["seen"] == {
        "ORT_DISABLE_TELEMETRY": "1",
        "ORT_TELEMETRY_DISABLED": "1",
    }
