"""WebSockets on routes that plugins add."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvicorn.protocols.websockets.auto

from foretell.http.websockets import websocket_protocol
from tests.models import linear_model_bytes, write_version
from tests.servers import ServeStore

ECHO = """
import msgspec
from litestar import websocket_listener
from litestar.config.app import AppConfig
from foretell.plugin import Plugin, Stage

@websocket_listener("/echo")
async def echo(data: str) -> str:
    return data.upper()

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass

class Echo(Plugin[Config]):
    stage = Stage.OBSERVE

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        app_config.route_handlers.append(echo)
        return app_config
"""

OPENING = (
    b"GET /echo HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
HELLO = b"\x81\x85" + b"\0\0\0\0" + b"hello"
"""A text frame of five bytes. Source: RFC 6455, section 5.2; what masks it is zero."""

BYE = b"\x88\x80" + b"\0\0\0\0"


def test_a_route_of_a_plugin_speaks_websocket(serve_store: ServeStore, store: Path, tmp_path: Path) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "echo.py").write_text(ECHO)
    server = serve_store(
        store, "--set", f"plugins.folder={tmp_path}/plugins", "--set", "plugins.enabled=echo"
    )
    address = urlsplit(server.url)
    with (
        socket.create_connection((address.hostname or "", address.port or 0), timeout=60) as connection,
        connection.makefile("rb") as answer,
    ):
        connection.sendall(OPENING)
        assert answer.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
        while answer.readline() != b"\r\n":
            pass
        connection.sendall(HELLO)
        assert answer.read(7) == b"\x81\x05HELLO"
        connection.sendall(BYE)
        assert answer.read(1) == b"\x88"


def test_without_a_library_for_it_there_is_no_websocket(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_installed(_: str) -> None:
        return None

    monkeypatch.setattr("foretell.http.websockets.find_spec", nothing_installed)
    assert websocket_protocol() is None


def test_a_library_that_cannot_be_imported_is_told_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make = websocket_protocol()
    assert make is not None
    monkeypatch.setattr(uvicorn.protocols.websockets.auto, "AutoWebSocketsProtocol", None)
    with pytest.raises(RuntimeError, match="cannot be imported"):
        make()
