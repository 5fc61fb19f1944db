from __future__ import annotations

from typing import Any, cast

import pytest
from litestar import Litestar, get
from litestar.testing import AsyncTestClient
from litestar.types import HTTPScope

from foretell.engine.registry import Registry
from foretell.http.lifecycle import Lifecycle, closes_connection

NONE = cast("Registry[Any]", None)


@get("/")
async def index() -> str:
    return "here"


@pytest.mark.anyio
async def test_every_answer_closes_its_connection_once_the_end_has_begun() -> None:
    early, late = Litestar([index]), Litestar([index])
    lifecycle = Lifecycle()
    lifecycle.attach(early, NONE)
    async with AsyncTestClient(early) as client:
        assert "connection" not in (await client.get("/")).headers
        lifecycle.close()
        lifecycle.close()
        assert (await client.get("/")).headers.get_list("connection") == ["close"]
        assert (await client.get("/nowhere")).headers.get_list("connection") == ["close"]
    lifecycle.attach(late, NONE)
    async with AsyncTestClient(late) as client:
        assert (await client.get("/")).headers.get_list("connection") == ["close"]


def test_what_another_process_goes_on_with_stays_ready() -> None:
    lifecycle = Lifecycle()
    lifecycle.close(leaving=False)
    assert (lifecycle.closing, lifecycle.leaving) == (True, False)
    lifecycle.close()
    assert lifecycle.leaving


def test_without_models_it_is_loading_and_not_ready() -> None:
    assert Lifecycle().loading
    assert not Lifecycle().ready


@pytest.mark.parametrize(("version", "headers"), [("1.0", 1), ("1.1", 1), ("2", 0), ("3", 0)])
def test_only_the_first_http_has_the_header(version: str, headers: int) -> None:
    assert len(closes_connection(cast("HTTPScope", {"http_version": version}))) == headers
