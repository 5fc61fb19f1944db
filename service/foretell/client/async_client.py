"""The client for asyncio; `Client` is its like for ordinary code."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from foretell.client.answers import Reply
from foretell.client.calls import Calls
from foretell.client.exchange import Exchange, Outcome, Send
from foretell.client.prediction import Prediction
from foretell.client.retries import Retries
from foretell.client.values import Data

__all__ = ["AsyncClient"]

T = TypeVar("T")


class AsyncClient:
    """Asks a foretell server from asyncio. Its calls may go on beside each other; see `Client` for the arguments.

    A call ends at its deadline, whatever it waits for.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 60.0,
        retries: Retries | int = Retries(),  # noqa: B008 - it is frozen
        headers: Mapping[str, str] | None = None,
        gzip_over_bytes: int | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._calls = Calls(
            base_url, timeout_s=timeout_s, retries=retries, headers=headers, gzip_over_bytes=gzip_over_bytes
        )
        self._own = http is None
        self._http = httpx.AsyncClient() if http is None else http

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, but for those of an `http` that was given."""
        if self._own:
            await self._http.aclose()

    async def predict(
        self,
        model: str,
        data: Data,
        *,
        version: int | str | None = None,
        alias: str | None = None,
        timeout_s: float | None = None,
        headers: Mapping[str, str] | None = None,
        request_id: str | None = None,
    ) -> Prediction:
        """The predictions of a model for some rows; see `Client.predict`."""
        return await self._run(
            self._calls.predict(
                model,
                data,
                version=version,
                alias=alias,
                timeout_s=timeout_s,
                headers=headers,
                request_id=request_id,
            )
        )

    async def models(self, *, timeout_s: float | None = None) -> list[str]:
        """The names of the models that are served; see `Client.models`."""
        return await self._run(self._calls.models(timeout_s=timeout_s))

    async def model(
        self,
        model: str,
        *,
        version: int | str | None = None,
        alias: str | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """What the catalogue says of a model; see `Client.model`."""
        return await self._run(self._calls.model(model, version=version, alias=alias, timeout_s=timeout_s))

    async def ready(self, *, timeout_s: float | None = None) -> bool:
        """Whether the server has loaded all models and is not about to end; see `Client.ready`."""
        return await self._run(self._calls.ready(timeout_s=timeout_s))

    async def _run(self, steps: Exchange[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Send):
                outcome = await self._send(step)
            else:
                await asyncio.sleep(step.pause_s)
                outcome = None

    async def _send(self, step: Send) -> Outcome:
        request = step.request
        try:
            async with (
                asyncio.timeout(step.left_s),
                self._http.stream(
                    request.method, request.url, headers=step.headers, content=request.body, timeout=None
                ) as response,
            ):
                body = await response.aread()
        except (httpx.HTTPError, TimeoutError) as error:
            return error
        return Reply(response.status_code, response.headers, body)
