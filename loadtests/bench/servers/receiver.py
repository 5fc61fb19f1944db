"""Where spans are sent: it takes them, and says how many bytes it has got."""

from __future__ import annotations

from typing import Any

_HEADERS = [(b"content-type", b"application/x-protobuf")]


class Receiver:
    """An ASGI application that takes what OpenTelemetry's exporters send, and answers that all is well.

    Attributes:
        received: How many bytes it has got.
    """

    def __init__(self) -> None:
        self.received = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Take a request; what is asked with GET is how many bytes it has got."""
        if scope["type"] != "http":
            return
        more = True
        while more:
            message = await receive()
            self.received += len(message.get("body", b""))
            more = message.get("more_body", False)
        body = str(self.received).encode() if scope["method"] == "GET" else b""
        headers = [*_HEADERS, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


app = Receiver()
