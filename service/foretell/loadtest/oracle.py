"""What is right: the same store, asked without a server, plugins, neighbours or a request beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

import msgspec

from foretell.app import create_app
from foretell.errors import ForetellError
from foretell.http.catalog import ModelDescription
from foretell.settings import Settings
from foretell.signature import Signature

if TYPE_CHECKING:
    from pathlib import Path

    from litestar.types import ASGIApp

    from foretell.loadtest.forms import Request

__all__ = ["Oracle", "RefusedError"]


class RefusedError(ForetellError):
    """A question is refused."""


class Oracle:
    """Answers one question at a time, in this process.

    Args:
        app: An application that serves the store.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    @classmethod
    @asynccontextmanager
    async def opened(cls, store: Path, default_model: str | None = None) -> AsyncGenerator[Self]:
        """An oracle of a store, without plugins.

        Args:
            store: The store.
            default_model: What the setting ``store.default_model`` is; where it is None, the only model.

        Raises:
            ForetellError: The store cannot be served.
        """
        given: dict[str, Any] = {
            "store": {"path": str(store), "follow": "off", "default_model": default_model},
            "plugins": {"enabled": []},
            "log": {"level": "error"},
        }
        app = create_app(msgspec.convert(given, Settings))
        async with app.lifespan():
            yield cls(app)

    async def signature(self, model: str) -> Signature:
        """What the default version of a model takes.

        Raises:
            RefusedError: There is no such model, or it does not serve.
        """
        told = msgspec.json.decode(
            await self._ask("GET", f"/v1/models/{model}", {}, b""), type=ModelDescription
        )
        for version in told.versions:
            if version.version == told.default_version:
                return msgspec.convert(version.signature, Signature)
        raise RefusedError(told.reason or "no version of it serves")

    async def answer(self, request: Request, request_id: str) -> bytes:
        """The body of the answer to a question.

        Raises:
            RefusedError: It is refused.
        """
        headers = {**request.headers, "X-Request-ID": request_id}
        return await self._ask("POST", request.path, headers, request.body)

    async def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        sent: list[Any] = []
        coming: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return (
                coming.pop() if coming else await asyncio.Future()
            )  # whoever asks stays until it has its answer

        async def send(message: Any) -> None:
            sent.append(message)

        named = {"Host": "localhost", **headers}
        scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "client": None,
            "server": ("localhost", 80),
            "state": {},
            "extensions": {},
            "headers": [(name.lower().encode(), value.encode()) for name, value in named.items()],
        }
        await self._app(scope, receive, send)
        status = sent[0]["status"]
        answer = b"".join(message.get("body", b"") for message in sent)
        if status != 200:
            raise RefusedError(f"{path} answers {status}: {answer[:300].decode(errors='replace')}")
        return answer
