"""What Litestar raises around the ordinary routes, as the same problems that predictions answer with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Response
from litestar.exceptions import HTTPException

from foretell.excerpts import shortened
from foretell.http.identity import request_id_of
from foretell.http.problems import PROBLEM_MEDIA_TYPE, describe, problem_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar import Request

    from foretell.http.request_ids import RequestIds
    from foretell.logs import Logger

__all__ = ["problem_handler"]


def problem_handler(
    request_ids: RequestIds, log: Logger, *, prefix: str = ""
) -> Callable[[Request[Any, Any, Any], Exception], Response[bytes]]:
    """The handler of every exception that leaves a route, or that routing itself raises.

    Args:
        request_ids: Gives requests their identity.
        log: Where failures are written.
        prefix: Where in another application the routes are, for messages.
    """

    def handle(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        path = shortened(request.scope["path"], 200)
        request_id = request_id_of(request.scope, request_ids)
        if isinstance(error, HTTPException) and error.status_code < 500:
            headers = {name.lower(): value for name, value in (error.headers or {}).items()}
            detail = error.detail
            if error.status_code == 404:
                detail = f"there is nothing at {shortened(path)}; GET {prefix or '/'} tells what there is"
            elif error.status_code == 405:
                detail = f"{request.scope['method']} is not allowed here; use {headers.get('allow')}"
            problem = describe(error.status_code, detail, path=path, request_id=request_id)
        else:
            problem, headers = problem_of(error, path=path, request_id=request_id, prefix=prefix)
        told = {"request_id": request_id, "path": path, "status": problem.status}
        if problem.status == 500:
            log.error("request failed", **told, exc_info=error)
        else:
            log.warning("request refused", **told, reason=problem.detail)
        headers["x-request-id"] = request_id
        return Response(
            problem.encode(), status_code=problem.status, media_type=PROBLEM_MEDIA_TYPE, headers=headers
        )

    return handle
