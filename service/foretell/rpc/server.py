"""The server of gRPC in one process, on the event loop of the HTTP server."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio

from foretell.http.listening import refusal
from foretell.rpc.health import SERVICE as HEALTH
from foretell.rpc.health import HealthService
from foretell.rpc.inference import SERVICE as INFERENCE
from foretell.rpc.inference import InferenceService
from foretell.rpc.place import GRPC_FLAGS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from foretell.http.core import Core
    from foretell.http.lifecycle import Lifecycle
    from foretell.http.lookup import Lookup
    from foretell.rpc.place import RpcPlace

__all__ = ["RpcServer"]

_UNLIMITED: Final = -1


class RpcServer:
    """Answers RPCs; see `Beside`.

    Args:
        core: What answers.
        lookup: The models.
        lifecycle: Says whether the server is ready.
        place: Where to listen.
        max_body_bytes: The greatest length of a message, bytes.
    """

    def __init__(
        self, core: Core, lookup: Lookup, lifecycle: Lifecycle, place: RpcPlace, *, max_body_bytes: int
    ) -> None:
        self._inference = InferenceService(core, lookup, lifecycle)
        self._lifecycle = lifecycle
        self._place = place
        self._max_body_bytes = max_body_bytes
        self._health: HealthService | None = None
        self._server: Any = None

    @property
    def fields(self) -> Mapping[str, Any]:
        """See `Beside`."""
        return self._place.fields

    @property
    def used(self) -> bool:
        """See `Beside`."""
        return self._inference.used

    async def open(self) -> None:
        """See `Beside`."""
        self._health = HealthService(self._lifecycle)
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", self._max_body_bytes),
                ("grpc.max_send_message_length", _UNLIMITED),
                ("grpc.so_reuseport", int(self._place.shared)),
            ]
        )
        server.add_generic_rpc_handlers((self._inference_handler(), _health_handler(self._health)))
        for address in self._place.addresses:
            try:
                server.add_insecure_port(address)
            except RuntimeError as error:  # gRPC does not say why; the place was free when it was taken
                await server.stop(None)
                host, _, port = address.rpartition(":")
                taken = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
                raise refusal(taken, host, int(port), GRPC_FLAGS) from error
        await server.start()
        self._server = server

    async def close(self, grace_s: float) -> None:
        """See `Beside`."""
        if self._server is None or self._health is None:
            return
        self._health.close()
        await self._server.stop(grace_s)

    def _inference_handler(self) -> Any:
        # Without (de)serializers: the methods are given bytes and give bytes.
        methods = {
            name: grpc.unary_unary_rpc_method_handler(method)
            for name, method in self._inference.methods.items()
        }
        return grpc.method_handlers_generic_handler(INFERENCE, methods)


def _health_handler(service: HealthService) -> Any:
    methods = {
        "Check": grpc.unary_unary_rpc_method_handler(service.check),
        "Watch": grpc.unary_stream_rpc_method_handler(service.watch),
    }
    return grpc.method_handlers_generic_handler(HEALTH, methods)
