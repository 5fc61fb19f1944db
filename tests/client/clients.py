"""Both clients, called alike, so that they pass the same tests."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

from foretell.client import AsyncClient, Client, Prediction

T = TypeVar("T")


class AwaitedClient:
    """An `AsyncClient` as ordinary code would call it."""

    def __init__(self, base_url: str, **settings: Any) -> None:
        self._runner = asyncio.Runner()
        self.client = AsyncClient(base_url, **settings)

    def __enter__(self) -> Self:
        self._runner.run(self.client.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self.client.__aexit__(None, None, None))
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
