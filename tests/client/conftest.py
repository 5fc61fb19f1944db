"""What the tests of the clients share."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from foretell.client import Client
from tests.client.clients import AnyClient, AwaitedClient, Connect
from tests.client.faulty_server import Act, FaultyServer


@pytest.fixture(params=[Client, AwaitedClient], ids=["Client", "AsyncClient"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Make clients of either kind. To read the certificates, which none needs here, would take most of the time."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with ExitStack() as stack:

        def make(base_url: str, **settings: Any) -> AnyClient:
            if request.param is Client:
                http = stack.enter_context(httpx.Client(verify=tls))
                return stack.enter_context(Client(base_url, http=http, **settings))
            return stack.enter_context(AwaitedClient(base_url, verify=tls, **settings))

        yield make


@pytest.fixture
def faulty() -> Iterator[Callable[..., FaultyServer]]:
    """Start servers that do as they are told."""
    with ExitStack() as stack:

        def start(*acts: Act) -> FaultyServer:
            return stack.enter_context(FaultyServer(*acts))

        yield start
