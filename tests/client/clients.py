"""Both clients, called alike, so that they pass the same tests."""

from __future__ import annotations

import asyncio
import contextvars
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

import httpx

from foretell.client import AsyncClient, Client, Prediction

T = TypeVar("T")


class AwaitedClient:
    """An `AsyncClient` as ordinary code would call it."""

    def __init__(self, base_url: str, *, verify: ssl.SSLContext, **settings: Any) -> None:
        self._runner = asyncio.Runner()
        self._http = httpx.AsyncClient(verify=verify)
        self.client = AsyncClient(base_url, http=self._http, **settings)

    def __enter__(self) -> Self:
        self._runner.run(self.client.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self.client.__aexit__(None, None, None))
        self._runner.run(self._http.aclose())
        self._runner.close()

    def predict(self, model: str, data: Any, **how: Any) -> Prediction:
        return self._run(self.client.predict(model, data, **how))

    def models(self, **how: Any) -> list[str]:
        return self._run(self.client.models(**how))

    def model(self, model: str, **how: Any) -> dict[str, Any]:
        return self._run(self.client.model(model, **how))

    def ready(self, **how: Any) -> bool:
        return self._run(self.client.ready(**how))

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(call, context=contextvars.copy_context())


AnyClient = Client | AwaitedClient

Connect = Callable[..., AnyClient]
"""Makes a client of the kind that the test is run with; it is closed after the test."""
