"""The documentation page: Swagger UI over the OpenAPI document, with nothing from the internet."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, cast

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.params import FromPath

if TYPE_CHECKING:
    from litestar import Request, Router

__all__ = ["DocumentationPage"]

_FOLDER: Final = files("foretell.http") / "assets" / "swagger-ui"

_MEDIA_TYPES: Final = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "start.js": "text/javascript",
}

# Nothing from elsewhere; Swagger UI sets styles on elements and draws its icons from data: addresses.
_PAGE: Final = b"""<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta http-equiv="content-security-policy"
      content="default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'">
    <title>foretell API</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="schema/assets/swagger-ui.css">
  </head>
  <body>
    <main id="documentation"></main>
    <script src="schema/assets/swagger-ui-bundle.js"></script>
    <script src="schema/assets/start.js"></script>
  </body>
</html>
"""

_PAGE_BELOW: Final = _PAGE.replace(b'="schema/', b'="')
"""The page for an address that ends in a slash."""

_START: Final = b"""SwaggerUIBundle({
  url: new URL("openapi.json", document.currentScript.src.replace("assets/", "")).href,
  dom_id: "#documentation",
  deepLinking: true,
  validatorUrl: null,
});
"""


class DocumentationPage(OpenAPIRenderPlugin):
    """``/schema`` and ``/schema/``, and what it loads from ``/schema/assets``."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002 - Litestar's signature
        """The page, with links that hold where it was asked for."""
        # They are relative, so that they hold behind a proxy that adds a prefix. Litestar takes a slash off the end
        # of the path, and a browser does not.
        scope = cast("dict[str, Any]", request.scope)  # ASGI leaves `raw_path` to the server
        return _PAGE_BELOW if (scope.get("raw_path") or b"").endswith(b"/") else _PAGE

    def receive_router(self, router: Router) -> None:
        """Add the page's assets to the router of the documentation."""

        @get("/assets/{name:str}", sync_to_thread=False)
        def asset(name: FromPath[str]) -> Response[bytes]:
            if name not in _MEDIA_TYPES:
                raise NotFoundException
            content = _START if name == "start.js" else (_FOLDER / name).read_bytes()
            return Response(
                content, media_type=_MEDIA_TYPES[name], headers={"cache-control": "public, max-age=3600"}
            )

        router.register(asset)
