"""Tracing plugins with a clean environment, receivers, and servers that find the bundled plugins."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog

from foretell_plugins.tracing import Tracing, TracingConfig
from tests.plugins.tracing.receivers import Receiver, grpc_receiver, http_receiver
from tests.servers import ROOT, RunningServer, Serve

__all__ = ["Running", "running"]


@pytest.fixture
def http_otlp() -> Iterator[Receiver]:
    """A receiver of OTLP over HTTP."""
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def grpc_otlp() -> Iterator[Receiver]:
    """A receiver of OTLP over gRPC."""
    with grpc_receiver() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def no_otel(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of OpenTelemetry's from outside."""
    for name in os.environ:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Tracing]:
    """Make the plugin under some environment, with some configuration."""

    def make_plugin(environ: dict[str, str] | None = None, **config: Any) -> Tracing:
        for name, value in (environ or {}).items():
            monkeypatch.setenv(name, value)
        return Tracing(TracingConfig(**config))

    return make_plugin


class Running(list[dict[str, Any]]):
    """The log of a plugin that is started."""


@asynccontextmanager
async def running(plugin: Tracing) -> AsyncGenerator[Running]:
    """A plugin as it is while the server runs; gives its log."""
    events = Running()

    def keep(_: Any, __: str, event: Any) -> Any:
        events.append(dict(event))
        raise structlog.DropEvent

    log = structlog.wrap_logger(structlog.PrintLogger(), processors=[keep])
    plugin.on_start(cast("Any", SimpleNamespace(log=log)))
    async with plugin.lifespan(cast("Any", None)):
        yield events


@pytest.fixture
def serve_traced(serve_processes: Serve, tmp_path: Path) -> Callable[..., RunningServer]:
    """Serve the sample models with tracing and what lies in ``tmp_path/dropped_in``."""
    shutil.copytree(ROOT / "model_store" / "iris", tmp_path / "model_store" / "iris")
    (tmp_path / "dropped_in").mkdir()

    def serve(
        environ: dict[str, str], *, enabled: str = "tracing", stdout: Path | None = None
    ) -> RunningServer:
        command = [sys.executable, "-m", "foretell", "serve", "--port", "0"]
        command += ["--store", str(tmp_path / "model_store"), "--set", f"plugins.enabled={enabled}"]
        command += ["--set", f"plugins.folder={tmp_path / 'dropped_in'}"]
        if stdout is not None:
            command = ["sh", "-c", f"exec {shlex.join(command)} > {shlex.quote(str(stdout))}"]
        return serve_processes(command, environ={"OTEL_BSP_SCHEDULE_DELAY": "20", **environ})

    return serve
