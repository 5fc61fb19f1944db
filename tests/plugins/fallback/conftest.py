"""Servers that are closed at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.fallback.servers import Server


@pytest.fixture
def serve(store: Path) -> Iterator[Callable[..., Server]]:
    """Make a server of the store; it is not loaded yet."""
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> Server:
            server = Server(store, **options)
            stack.callback(server.close)
            return server

        yield start
