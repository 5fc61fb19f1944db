"""What the tests of the clients share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from foretell.client import Client
from tests.client.clients import AnyClient, AwaitedClient, Connect
from tests.client.faulty_server import Act, FaultyServer


@pytest.fixture(params=[Client, AwaitedClient], ids=["Client", "AsyncClient"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Make clients of either kind."""
    with ExitStack() as stack:

        def make(base_url: str, **settings: Any) -> AnyClient:
            client: AnyClient = stack.enter_context(request.param(base_url, **settings))
            return client

        yield make


@pytest.fixture
def faulty() -> Iterator[Callable[..., FaultyServer]]:
    """Start servers that do as they are told."""
    with ExitStack() as stack:

        def start(*acts: Act) -> FaultyServer:
            return stack.enter_context(FaultyServer(*acts))

        yield start
