"""WebSockets, for routes that plugins may add: what speaks them is imported when somebody does."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["websocket_protocol"]


def websocket_protocol() -> Callable[..., asyncio.Protocol] | None:
    """What uvicorn chooses for WebSockets, as its setting ``ws`` takes it; None if nothing that it knows is installed."""
    return _chosen_by_uvicorn if find_spec("websockets") or find_spec("wsproto") else None


def _chosen_by_uvicorn(*arguments: Any, **named: Any) -> asyncio.Protocol:
    from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol

    if AutoWebSocketsProtocol is None:  # it is there, and cannot be imported
        raise RuntimeError("the installed library for WebSockets cannot be imported")
    return AutoWebSocketsProtocol(*arguments, **named)
