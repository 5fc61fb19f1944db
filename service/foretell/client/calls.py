"""The calls that both clients make: which request each is, and what is made of its answer."""

from __future__ import annotations

import gzip
import math
import re
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx

from foretell.client.answers import Reply, json_of
from foretell.client.errors import OverloadedError, UnexpectedAnswerError
from foretell.client.exchange import Exchange, Request, exchange
from foretell.client.json_values import is_list
from foretell.client.prediction import Prediction
from foretell.client.retries import Retries
from foretell.client.trace import trace_headers
from foretell.client.values import Data, encode_data

__all__ = ["Calls"]

T = TypeVar("T")

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
"""What the server takes over; anything else it would replace without a word."""

_ONCE: Final = Retries(most=0)
_GZIP_LEVEL: Final = 1


class Calls:
    """Makes the steps of every call; see `Client` for the arguments."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float,
        retries: Retries | int,
        headers: Mapping[str, str] | None,
        gzip_over_bytes: int | None,
    ) -> None:
        try:
            self._base = httpx.URL(base_url.rstrip("/"))
        except httpx.InvalidURL as error:
            raise ValueError(
                f"base_url: expected http://… or https://…, got {base_url!r}: {error}"
            ) from error
        if self._base.scheme not in {"http", "https"} or not self._base.host:
            raise ValueError(f"base_url: expected http://… or https://…, got {base_url!r}")
        self._timeout_s = _checked_timeout(timeout_s)
        self._retries = retries if isinstance(retries, Retries) else Retries(most=retries)
        self._headers = httpx.Headers(headers)
        self._gzip_over_bytes = gzip_over_bytes

    def predict(
        self,
        model: str,
        data: Data,
        *,
        version: int | str | None,
        alias: str | None,
        timeout_s: float | None,
        headers: Mapping[str, str] | None,
        request_id: str | None,
    ) -> Exchange[Prediction]:
        """The steps of `Client.predict`."""
        ends_s = self._ends_s(timeout_s)
        body = encode_data(data)
        own = httpx.Headers({"content-type": "application/json"})
        if self._gzip_over_bytes is not None and len(body) > self._gzip_over_bytes:
            body = gzip.compress(body, _GZIP_LEVEL)
            own["content-encoding"] = "gzip"
        path = f"{_model_path(model, version, alias)}:predict"
        request = self._request("POST", path, ends_s, own, headers, request_id, body=body)
        return exchange(request, Prediction.of)

    def models(self, *, timeout_s: float | None) -> Exchange[list[str]]:
        """The steps of `Client.models`."""
        return self._get("/v1/models", timeout_s, _model_names)

    def model(
        self, model: str, *, version: int | str | None, alias: str | None, timeout_s: float | None
    ) -> Exchange[dict[str, Any]]:
        """The steps of `Client.model`."""
        return self._get(_model_path(model, version, alias), timeout_s, json_of)

    def ready(self, *, timeout_s: float | None) -> Exchange[bool]:
        """The steps of `Client.ready`."""
        try:
            yield from self._get("/health/ready", timeout_s, json_of, retries=_ONCE)
        except OverloadedError:
            return False
        return True

    def _get(
        self, path: str, timeout_s: float | None, read: Callable[[Reply], T], retries: Retries | None = None
    ) -> Exchange[T]:
        request = self._request(
            "GET", path, self._ends_s(timeout_s), httpx.Headers(), None, None, retries=retries
        )
        return exchange(request, read)

    def _ends_s(self, timeout_s: float | None) -> float:
        return time.monotonic() + (self._timeout_s if timeout_s is None else _checked_timeout(timeout_s))

    def _request(
        self,
        method: str,
        path: str,
        ends_s: float,
        own: httpx.Headers,
        given: Mapping[str, str] | None,
        request_id: str | None,
        *,
        body: bytes | None = None,
        retries: Retries | None = None,
    ) -> Request:
        """A request. What the caller sets goes before the trace, what a call sets before what the client sets."""
        if request_id is not None and not _REQUEST_ID.fullmatch(request_id):
            raise ValueError(
                f"request_id: expected 1 to 128 letters, digits and . _ : / + = @ -, got {request_id!r}"
            )
        headers = httpx.Headers({"x-request-id": uuid.uuid4().hex, **trace_headers()})
        headers.update(self._headers)
        headers.update(given)
        headers.update(own)
        if request_id is not None:
            headers["x-request-id"] = request_id
        url = self._base.copy_with(path=self._base.path.rstrip("/") + path)
        return Request(method, url, headers, body, ends_s, retries or self._retries)


def _model_path(model: str, version: int | str | None, alias: str | None) -> str:
    path = f"/v1/models/{_segment('model', model)}"
    if version is not None and alias is not None:
        raise ValueError(f"expected a version or an alias, got both: {version!r} and {alias!r}")
    if version is not None:
        return f"{path}/versions/{_segment('version', str(version))}"
    return path if alias is None else f"{path}/labels/{_segment('alias', alias)}"


def _segment(what: str, name: str) -> str:
    """A name as one segment of a path.

    A slash is refused, since servers undo its escape before they look at the path: it would lead elsewhere.
    """
    if not name or "/" in name:
        raise ValueError(f"{what}: expected a name without '/', got {name!r}")
    escaped = quote(name, safe="")
    return escaped if name.strip(".") else escaped.replace(".", "%2E")  # dots alone climb


def _model_names(reply: Reply) -> list[str]:
    names: object = json_of(reply).get("models")
    if not is_list(names):
        raise UnexpectedAnswerError(
            "expected a list of models, got none: is the base URL right?", status=reply.status
        )
    return [str(name) for name in names]


def _checked_timeout(timeout_s: float) -> float:
    if not (timeout_s > 0 and math.isfinite(timeout_s)):
        raise ValueError(f"timeout_s: expected seconds, a finite number above 0, got {timeout_s!r}")
    return timeout_s
