"""One application, two applications, and other servers than our own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from foretell import Settings, create_app
from foretell.settings import GrpcSettings, StoreSettings
from tests.models import linear_model_bytes, write_version
from tests.servers import ROOT, SAMPLE_STORE, Serve, ServeStore
from tests.system import require_program

ROW = [5.1, 3.5, 1.4, 0.2]


def _app(store: Path, default_model: str | None = None) -> Litestar:
    return create_app(Settings(store=StoreSettings(path=str(store), default_model=default_model)))


async def _double_and_triple(first: Litestar, second: Litestar) -> tuple[list[float], list[float]]:
    async with AsyncTestClient(first) as one, AsyncTestClient(second) as two:
        body = {"instances": [[1.0, 2.0]]}
        answers = [await client.post("/v1/models/m:predict", json=body) for client in (one, two, one, two)]
        values = [answer.json()["predictions"][0] for answer in answers]
        return values[::2], values[1::2]


@pytest.mark.anyio
async def test_two_applications_in_one_process_do_not_see_each_other(tmp_path: Path) -> None:
    write_version(tmp_path / "a", "m", 1, linear_model_bytes(weights=[2.0, 2.0]))
    write_version(tmp_path / "b", "m", 1, linear_model_bytes(weights=[3.0, 3.0]))
    write_version(tmp_path / "b", "other", 1, linear_model_bytes(weights=[1.0, 1.0]))
    first, second = _app(tmp_path / "a"), _app(tmp_path / "b")
    doubled, tripled = await _double_and_triple(first, second)
    assert (doubled, tripled) == ([6.0, 6.0], [9.0, 9.0])
    async with AsyncTestClient(first) as one, AsyncTestClient(second) as two:
        assert (await one.get("/v1/models")).json() == {"models": ["m"]}
        assert (await two.get("/v1/models")).json() == {"models": ["m", "other"]}
        assert "/v1/models/other" not in (await one.get("/schema/openapi.json")).text
        assert (await one.post("/predict", json={"features": [1, 2]})).status_code == 200
        assert (await two.post("/predict", json={"features": [1, 2]})).status_code == 404


@pytest.mark.anyio
async def test_an_application_can_be_started_again(tmp_path: Path) -> None:
    write_version(tmp_path, "m", 1, linear_model_bytes(weights=[2.0, 2.0]))
    app = _app(tmp_path)
    for _ in range(2):
        async with AsyncTestClient(app) as client:
            assert (await client.post("/predict", json={"features": [1, 2]})).json()["prediction"] == 6.0


def test_the_factory_reads_file_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_version(tmp_path / "models", "m", 1, linear_model_bytes(weights=[2.0, 2.0]))
    (tmp_path / "foretell.toml").write_text('[store]\npath = "models"\ndefault_model = "nothing"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORETELL_STORE__DEFAULT_MODEL", "m")
    from litestar.testing import TestClient

    with TestClient(create_app()) as client:
        assert client.post("/predict", json={"features": [1, 2]}).json()["prediction"] == 6.0


def test_litestars_own_command_line_runs_it(serve_processes: Serve, free_port: int) -> None:
    litestar = str(Path(sys.executable).with_name("litestar"))
    environ = {"LITESTAR_APP": "foretell.app:create_app", "FORETELL_LOG__FORMAT": "json"}
    server = serve_processes([litestar, "run", "--port", str(free_port)], cwd=ROOT, environ=environ)
    server.wait_for_text("Uvicorn running")
    answer = httpx.post(f"http://127.0.0.1:{free_port}/predict", json={"features": ROW}).json()
    assert (answer["prediction"], answer["model_name"]) == ("setosa", "iris")


def test_another_asgi_server_runs_it(serve_processes: Serve) -> None:
    command = [sys.executable, "-m", "hypercorn", "--bind", "127.0.0.1:0", "foretell.app:create_app()"]
    server = serve_processes(command, cwd=ROOT)
    url = re.search(r"http://127\.0\.0\.1:\d+", server.wait_for_text("Running on"))
    assert url is not None
    with httpx.Client(base_url=url[0]) as client:
        assert client.post("/predict", json={"features": ROW}).json()["prediction"] == "setosa"
        assert client.post("/predict", content=b"x" * (16 * 1024**2 + 1)).status_code == 413
        assert client.get("/health/ready").status_code == 200


def test_serving_imports_nothing_that_only_publishing_needs(tmp_path: Path) -> None:
    write_version(tmp_path, "m", 1, linear_model_bytes(weights=[2.0, 2.0]))
    program = """
import sys
from litestar.testing import TestClient
from foretell import Settings, create_app
from foretell.settings import StoreSettings
with TestClient(create_app(Settings(store=StoreSettings(path=sys.argv[1])))) as client:
    assert client.post("/predict", json={"features": [1, 2]}).json()["prediction"] == 6.0
    assert client.get("/schema/openapi.json").status_code == 200
found = {name.partition(".")[0] for name in sys.modules}
print(sorted(found & {"sklearn", "skl2onnx", "onnx", "pandas", "scipy", "joblib", "skops", "grpc", "redis"}))
"""
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert run.stdout.strip() == "[]"


def test_serving_connects_to_nothing(tmp_path: Path) -> None:
    """ONNX Runtime's telemetry would."""
    strace = require_program("strace")
    write_version(tmp_path / "store", "m", 1, linear_model_bytes(weights=[2.0, 2.0]))
    trace = tmp_path / "trace"
    command = [sys.executable, "-m", "foretell", "predict", "m", '{"instances": [[1, 2]]}']
    subprocess.run(
        [strace, "-f", "-e", "trace=connect,sendto,sendmsg", "-o", str(trace), *command],
        env={**os.environ, "FORETELL_STORE__PATH": str(tmp_path / "store")},
        check=True,
        timeout=120,
        capture_output=True,
    )
    assert "+++ exited with 0 +++" in trace.read_text()
    assert re.findall(r".*AF_INET.*", trace.read_text()) == []


def test_models_that_load_slowly_leave_the_server_alive_and_not_ready(serve_store: ServeStore) -> None:
    server = serve_store(SAMPLE_STORE, "--set", "engine.startup_wait_s=0")
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/health/live").status_code == 200
        first = client.get("/health/ready")
        assert first.status_code == 200 or "being loaded" in first.json()["reason"]
        for model in ("breast_cancer", "diabetes", "digits", "iris", "penguins"):
            server.wait_for("model ready", model=model)
        # The last of them has still to be looked at by plugins.
        assert any(client.get("/health/ready").status_code == 200 for _ in range(1000))


def test_grpc_that_nobody_listens_for_is_told(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    settings = Settings(store=StoreSettings(path=str(store)), grpc=GrpcSettings(port=0))
    create_app(settings)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"]) == ("gRPC is not served", "warning")
    assert "only `foretell serve` listens" in line["reason"]
