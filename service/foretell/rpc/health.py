"""gRPC's own health checks, which Kubernetes and load balancers ask: they follow readiness.

Source: gRPC health checking protocol.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import grpc

from foretell.errors import MalformedError
from foretell.excerpts import shortened
from foretell.protocols.rpc.messages import HealthCheckRequest, HealthCheckResponse, parse
from foretell.rpc.inference import SERVICE as INFERENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from foretell.http.lifecycle import Lifecycle

__all__ = ["SERVICE", "HealthService"]

SERVICE: Final = "grpc.health.v1.Health"
"""The name of the service."""

_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = 1, 2, 3
_KNOWN: Final = {"", INFERENCE}
_LOOK_S: Final = 0.1
"""How often the readiness of the models is looked at for those who watch it, seconds."""


class HealthService:
    """The service's methods.

    Args:
        lifecycle: Says whether the server is ready.
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._closed = asyncio.Event()

    def close(self) -> None:
        """Let those go who watch."""
        self._closed.set()

    async def check(self, request: bytes, context: Any) -> bytes:
        """How a service is now."""
        name = await self._name(request, context)
        if name not in _KNOWN:
            message = f"there is no service {shortened(name)!r}: ask for {INFERENCE!r}, or for '' as a whole"
            await context.abort(grpc.StatusCode.NOT_FOUND, message)
        return self._written(name)

    async def watch(self, request: bytes, context: Any) -> AsyncGenerator[bytes]:
        """How a service is now, and whenever that changes."""
        name = await self._name(request, context)
        told = b""
        while True:
            now = self._written(name)
            if now != told:
                told = now
                yield now
            if self._closed.is_set():
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), _LOOK_S)

    @staticmethod
    async def _name(request: bytes, context: Any) -> str:
        try:
            name: str = parse(HealthCheckRequest, request).service
        except MalformedError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise
        return name

    def _written(self, name: str) -> bytes:
        status = _SERVING if self._lifecycle.ready else _NOT_SERVING
        if name not in _KNOWN:
            status = _SERVICE_UNKNOWN
        written: bytes = HealthCheckResponse(status=status).SerializeToString()
        return written
