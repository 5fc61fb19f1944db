from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import pytest

from foretell.errors import ListenError
from foretell.http.lifecycle import Lifecycle
from foretell.rpc.place import RpcPlace
from foretell.rpc.server import RpcServer


def server_at(*addresses: str, shared: bool = False) -> RpcServer:
    nobody = cast("Any", None)  # nobody asks
    return RpcServer(nobody, nobody, Lifecycle(), RpcPlace(addresses, shared), max_body_bytes=1000)


def test_whoever_began_to_listen_since_the_place_was_taken_is_told_of() -> None:
    async def main(port: int) -> None:
        with pytest.raises(ListenError, match=f"port {port} of 127.0.0.1 is taken: .* --grpc-port"):
            await server_at(f"127.0.0.1:{port}").open()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        asyncio.run(main(taken.getsockname()[1]))


def test_two_can_share_a_port_if_they_are_told_to_and_are_closed_or_not(free_port: int) -> None:
    async def main() -> None:
        servers = [server_at(f"127.0.0.1:{free_port}", shared=True) for _ in range(3)]
        for server in servers[:2]:
            await server.open()
            assert not server.used
        for server in servers:  # one of them was never opened
            await server.close(0)

    asyncio.run(main())
