"""The route that drops what is kept of a model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import msgspec
from litestar import delete
from litestar.params import Parameter

from foretell.errors import NotFoundError, NotReadyError

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

    from foretell.plugin import Host

__all__ = ["Dropped", "drop_route"]


class Dropped(msgspec.Struct, frozen=True):
    """What was dropped.

    Attributes:
        model: The model's name.
        dropped: How many answers were: of this process, and of Redis if there is one.
    """

    model: str
    dropped: int


def drop_route(host: Host, forget: Callable[[str], Awaitable[int]]) -> HTTPRouteHandler:
    """The handler of ``DELETE /admin/cache/{model}``, for those who have the admin key.

    Args:
        host: The server.
        forget: Drops every answer of a model and returns how many there were.
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
            raise NotFoundError(f"there is no model {model!r}; GET /v1/models lists those that are served")
        try:
            return Dropped(model, await forget(model))
        except OSError as error:
            raise NotReadyError(f"this process has dropped its answers, but {error}") from error

    return drop_cache
