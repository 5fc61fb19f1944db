"""Every answer leaves its record, whether the client still takes it or not."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar.exceptions import LitestarException

from foretell import Settings, create_app
from foretell.settings import LogSettings, PluginSettings, StoreSettings
from tests.models import linear_model_bytes, write_version

COUNTER = """
from foretell.plugin import Plugin, Stage

class Counter(Plugin):
    stage = Stage.OBSERVE

    def observe(self, records):
        with open("{seen}", "a") as file:
            file.writelines(f"{{record.status}}\\n" for record in records)
"""


MARKER = """
from contextvars import ContextVar
from foretell.plugin import Plugin, Shortcut, Stage

MARK = ContextVar("mark", default="")

class Marks(Shortcut):
    def begin(self, request):
        return MARK.set("theirs")

class Marker(Plugin):
    stage = Stage.VALIDATE

    def wrap_predict(self, call_next, model):
        return Marks()
"""


def test_what_plugins_set_is_not_seen_where_the_server_is_asked_for_more(store: Path, tmp_path: Path) -> None:
    """A host's middleware may look at its context in `receive`, and leave its tracks there."""
    write_version(store, "m", 1, linear_model_bytes())
    (tmp_path / "marker.py").write_text(MARKER)
    settings = {
        "store": {"path": str(store)},
        "log": {"level": "error"},
        "plugins": {"enabled": ["marker"], "folder": str(tmp_path)},
        "engine": {"inline_us": 0},
    }
    app = create_app(msgspec.convert(settings, Settings))
    seen: list[str] = []
    statuses: list[int] = []

    async def receive() -> Any:
        seen.extend(f"{var.name}={value}" for var, value in copy_context().items() if var.name == "mark")
        if asked:
            await asyncio.Event().wait()
        asked.append(1)
        return {"type": "http.request", "body": b'{"instances": [[1, 2]]}', "more_body": False}

    async def send(message: Any) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    asked: list[int] = []

    async def scenario() -> None:
        async with app.lifespan():
            call: Any = app(_scope("/v1/models/m:predict"), receive, send)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # as below
            await call

    asyncio.run(scenario())
    assert (statuses, seen) == ([200], [])


@pytest.mark.parametrize("gone", [False, True], ids=["there", "gone"])
def test_a_client_that_is_gone_is_counted(store: Path, tmp_path: Path, gone: bool) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    seen = tmp_path / "seen"
    (tmp_path / "counter.py").write_text(COUNTER.format(seen=seen))
    app = create_app(
        Settings(
            store=StoreSettings(path=str(store)),
            log=LogSettings(level="error"),
            plugins=PluginSettings(enabled=("counter",), folder=str(tmp_path)),
        )
    )

    async def receive() -> Any:
        return {"type": "http.request", "body": b'{"instances": [[1, 2]]}', "more_body": False}

    async def send(message: Any) -> None:
        if gone:
            raise OSError("the client is gone")

    async def scenario() -> None:
        async with app.lifespan():
            for path in ("/v1/models/m:predict", "/v1/models/none:predict"):
                call: Any = app(_scope(path), receive, send)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # Litestar's own scope has fields that no server gives
                if gone:
                    with pytest.raises(LitestarException):
                        await call
                else:
                    await call

    asyncio.run(scenario())
    assert seen.read_text().split() == ["200", "404"]


def _scope(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 1),
        "state": {},
    }
