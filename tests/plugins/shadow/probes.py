"""A plugin right around each version, which notes what is asked of it and does to it what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, ClassVar

from foretell.plugin import NoConfig, Plugin, Stage
from foretell_plugins.shadow import Shadow

if TYPE_CHECKING:
    from foretell.plugin import ModelInfo, Predict, PredictRequest, PredictResponse
    from tests.plugins.fallback.servers import Server

__all__ = ["CURRENT", "PATIENCE_S", "Probe", "make_probe", "mirrored", "settled", "shadow_of"]

PATIENCE_S = 30.0
CURRENT: ContextVar[str] = ContextVar("CURRENT", default="nothing")


class Probe(Plugin[NoConfig]):
    """Notes every request by what it is asked of, with what `CURRENT` is there."""

    stage: ClassVar[Stage] = Stage.CACHE
    asked: ClassVar[list[tuple[str, PredictRequest, str]]]
    before: ClassVar[dict[str, Callable[[], Awaitable[None]]]]

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        name = f"{model.name}/{model.version}"
        kind = type(self)

        async def predict(request: PredictRequest) -> PredictResponse:
            kind.asked.append((name, request, CURRENT.get()))
            if name in kind.before:
                await kind.before[name]()
            return await call_next(request)

        return predict


def make_probe() -> type[Probe]:
    """A probe of a test's own."""

    class Own(Probe):
        asked: ClassVar[list[tuple[str, PredictRequest, str]]] = []
        before: ClassVar[dict[str, Callable[[], Awaitable[None]]]] = {}

    return Own


def mirrored(probe: type[Probe], name: str = "m/2") -> list[PredictRequest]:
    """What was asked of a version."""
    return [request for asked, request, _ in probe.asked if asked == name]


def shadow_of(server: Server) -> Shadow:
    """The plugin of a server."""
    (found,) = (each.plugin for each in server.plugins.plugins if isinstance(each.plugin, Shadow))
    return found


async def settled(server: Server) -> None:
    """Wait until nothing is left to be asked."""
    async with asyncio.timeout(PATIENCE_S):
        while workers := [task for each in shadow_of(server)._alive for task in each._workers]:
            await asyncio.wait(workers)
