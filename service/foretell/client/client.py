"""The client for ordinary code; `AsyncClient` is its like for asyncio."""

from __future__ import annotations

import time
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

__all__ = ["Client"]

T = TypeVar("T")


class Client:
    """Asks a foretell server. Several threads may share one; it keeps connections open between calls.

    A call ends at its deadline, whatever it waits for. A server that sends its answer in pieces is looked at with
    each piece, so that between two of them the deadline may pass.

    Args:
        base_url: Where the server is, with the path before ``/v1/models`` if there is one.
        timeout_s: How long a call may take with all its tries, seconds; what is left of it is told to the server with
            each. As long as the server itself waits unless it is set otherwise.
        retries: How a call is tried again, or how often at most.
        headers: Headers of every request, for instance a key.
        gzip_over_bytes: Bodies of predictions that are longer are compressed; none if it is None. It pays where the
            network is slow.
        http: What sends the requests in place of a client of our own, for instance one with certificates or a proxy.
            Its timeouts do not count. Who made it closes it.

    Raises:
        ValueError: `base_url` or `timeout_s` is none.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 60.0,
        retries: Retries | int = Retries(),  # noqa: B008 - it is frozen
        headers: Mapping[str, str] | None = None,
        gzip_over_bytes: int | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self._calls = Calls(
            base_url, timeout_s=timeout_s, retries=retries, headers=headers, gzip_over_bytes=gzip_over_bytes
        )
        self._own = http is None
        self._http = httpx.Client() if http is None else http

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, but for those of an `http` that was given."""
        if self._own:
            self._http.close()

    def predict(
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
        """The predictions of a model for some rows.

        Args:
            model: Its name.
            data: Rows (a list of lists, of records, or of the values of the only column; a numpy array), or columns
                (a dict of lists, a DataFrame, a named Series). What is not a number (NaN, NaT, NA) is sent as null.
            version: The version that is to answer; the model's default if neither it nor `alias` is given.
            alias: The alias of that version.
            timeout_s: In place of the client's own, seconds.
            headers: More headers.
            request_id: The identity of the request in the server's log; one is made if it is None.

        Raises:
            TypeError: JSON has no form for a value, for instance a date.
            ValueError: Both a version and an alias are given, or a name or `timeout_s` is none.
            ForetellError: There is no answer; see `foretell.client.errors` for the kinds.
        """
        return self._run(
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

    def models(self, *, timeout_s: float | None = None) -> list[str]:
        """The names of the models that are served.

        Raises:
            ForetellError: There is no answer.
        """
        return self._run(self._calls.models(timeout_s=timeout_s))

    def model(
        self,
        model: str,
        *,
        version: int | str | None = None,
        alias: str | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """What the catalogue says of a model: its versions, their signatures and where they come from.

        Raises:
            NotFoundError: There is no such model, version or alias.
            ForetellError: There is no answer.
        """
        return self._run(self._calls.model(model, version=version, alias=alias, timeout_s=timeout_s))

    def ready(self, *, timeout_s: float | None = None) -> bool:
        """Whether the server has loaded all models and is not about to end; it is asked once.

        Raises:
            ForetellError: There is no answer.
        """
        return self._run(self._calls.ready(timeout_s=timeout_s))

    def _run(self, steps: Exchange[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Send):
                outcome = self._send(step)
            else:
                time.sleep(step.pause_s)
                outcome = None

    def _send(self, step: Send) -> Outcome:
        ends_s = time.monotonic() + step.left_s
        request = step.request
        pieces: list[bytes] = []
        try:
            with self._http.stream(
                request.method, request.url, headers=step.headers, content=request.body, timeout=step.left_s
            ) as response:
                for piece in response.iter_bytes():
                    pieces.append(piece)
                    if time.monotonic() >= ends_s:
                        return TimeoutError()
        except httpx.HTTPError as error:
            return error
        return Reply(response.status_code, response.headers, b"".join(pieces))
