"""The route that drops what is kept of a model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec
from litestar import delete
from litestar.params import Parameter

from foretell.errors import NotFoundError, NotReadyError
from foretell.excerpts import shortened

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

    from foretell.plugin import Host

__all__ = ["Dropped", "Forget", "drop_route"]


class Dropped(msgspec.Struct, frozen=True):
    """How many answers were dropped. One that was kept in both places counts in both.

    Attributes:
        model: The model's name.
        memory: How many there were in this process.
        redis: How many there were in Redis; null if there is none.
    """

    model: str
    memory: int
    redis: int | None


Forget: TypeAlias = "Callable[[str], Awaitable[Dropped]]"
"""Drops every answer of a model."""


def drop_route(host: Host, forget: Forget) -> HTTPRouteHandler:
    """The handler of ``DELETE /admin/cache/{model}``, for those who have the admin key.

    Args:
        host: The server.
        forget: Drops every answer of a model.
    """

    @delete(
        "/admin/cache/{model:str}",
        operation_id="drop_cache",
        summary="Drop every cached answer of a model",
        status_code=200,
        guards=[host.admin_guard],
        tags=["admin"],
    )
    async def drop_cache(model: Annotated[str, Parameter(description="The model's name")]) -> Dropped:
        if all(info.name != model for info in host.models.infos()):
            raise NotFoundError(
                f"there is no model {shortened(model)!r}; GET /v1/models lists those that are served"
            )
        try:
            return await forget(model)
        except OSError as error:
            raise NotReadyError(f"this process has dropped its answers, but {error}") from error

    return drop_cache
