"""Requests that schemathesis makes from our OpenAPI document, valid and not: each answer is one that it tells of."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import SAMPLE_STORE, ServeStore

CHECKS = "not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance"


@pytest.fixture(scope="module")
def url(shared_store: ServeStore, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A server with a model of numbers alone and one of numbers, texts and gaps."""
    store = tmp_path_factory.mktemp("generated") / "model_store"
    for name in ("iris", "penguins"):
        shutil.copytree(SAMPLE_STORE / name, store / name)
    return shared_store(store, "--set", "store.default_model=penguins", measured=False).url


@pytest.mark.parametrize(("phases", "least"), [("examples,fuzzing", 80), ("coverage", 1500)])
def test_no_generated_request_meets_a_fault(url: str, tmp_path: Path, phases: str, least: int) -> None:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/schema/openapi.json"),
        *("--checks", CHECKS, "--phases", phases, "--mode", "all", "--max-examples", "8", "--seed", "7"),
        *("--no-color", "--generation-database", "none"),
    ]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-2000:]
    counted = re.search(r"(\d+) generated, (\d+) passed", ran.stdout)
    assert counted is not None, ran.stdout
    assert counted[1] == counted[2]
    assert int(counted[1]) >= least
