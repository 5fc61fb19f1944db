"""Whatever plugins leave in the record of a request, it is answered, and the breaker is not misled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foretell.errors import RunError
from foretell.plugin import ModelInfo, NoConfig, Plugin, Predict, PredictRequest, PredictResponse, Stage
from foretell_plugins.cache import Cache
from tests.plugins.fallback.servers import Server
from tests.plugins.fallback.test_chain import (
    FAILURES,
    ROW,
    VALUE,
    fill,
    load,
    raising,
    trouble,
)

GARBAGE: Any = []
Serve = Callable[..., Server]


def leaving(cache: Any, error: Exception | None = None, headers: Any = None) -> type[Plugin[Any]]:
    class Leaving(Plugin[NoConfig]):
        stage = Stage.OBSERVE

        def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
            async def predict(request: PredictRequest) -> PredictResponse:
                response = await call_next(request)
                request.record.cache = cache
                if headers is not None:
                    request.record.answer_headers = headers
                if error is not None:
                    raise error
                return response

            return predict

    return Leaving


@pytest.mark.parametrize("error", [None, RunError("no")], ids=["answer", "failure"])
@pytest.mark.parametrize("garbage", [[], {}, 7, "odd\r\n"], ids=repr)
def test_what_a_plugin_leaves_as_the_state_of_the_cache_breaks_no_answer(
    garbage: Any, error: Exception | None, store: Path, serve: Serve
) -> None:
    fill(store, 1)

    async def main() -> None:
        server = await load(serve(plugins={"leaving": leaving(garbage, error)}))
        answer = await server.ask_rows("m", ROW)
        assert answer.status in {200, 500}

    asyncio.run(main())


def test_a_plugin_further_out_may_say_otherwise_and_there_is_one_header(store: Path, serve: Serve) -> None:
    class Own(Plugin[NoConfig]):
        stage = Stage.OBSERVE

        def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
            async def predict(request: PredictRequest) -> PredictResponse:
                response = await call_next(request)
                request.record.add_header(b"x-foretell-cache", b"own")
                return response

            return predict

    fill(store, 1)

    async def main() -> None:
        from tests.plugins.fallback.servers import _route, predicted

        server = await load(serve(plugins={"own": Own, "cache": Cache}, config={"cache": {"force": True}}))
        answer = await predicted(
            server.core,
            _route("m:predict"),
            [(b"content-type", b"application/json")],
            b'{"instances": [[1, 2]]}',
        )
        assert [value for name, value in answer.headers if name == b"x-foretell-cache"] == [b"own"]

    asyncio.run(main())


def test_a_header_as_a_list_is_a_header(store: Path, serve: Serve) -> None:
    fill(store, 1)

    async def main() -> None:
        server = await load(serve(plugins={"leaving": leaving(None, None, [[b"x-a", b"1"]])}))
        answer = await server.ask_rows("m", ROW)
        assert answer.headers["x-a"] == "1"
        assert server.faults.errors == {}

    asyncio.run(main())


def test_what_is_no_header_is_never_sent(store: Path, serve: Serve) -> None:
    fill(store, 1)
    given: list[Any] = [(b"x-a", b"1")]

    async def main() -> None:
        server = await load(serve(plugins={"leaving": leaving(None, None, given)}))
        await server.ask_rows("m", ROW)
        given[0] = (b"x-a", memoryview(b"1"))
        from tests.plugins.fallback.servers import _route, predicted

        answer = await predicted(
            server.core,
            _route("m:predict"),
            [(b"content-type", b"application/json")],
            b'{"instances": [[1, 2]]}',
        )
        assert all(type(value) is bytes for _, value in answer.headers)

    asyncio.run(main())


class Slow(Plugin[NoConfig]):
    """Asks somebody else whether the caller may."""

    stage = Stage.GUARD

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        async def predict(request: PredictRequest) -> PredictResponse:
            await asyncio.sleep(0.3)
            return await call_next(request)

        return predict


@pytest.mark.parametrize("slow", [True, False])
def test_a_caller_in_a_hurry_opens_no_breaker(slow: bool, store: Path, serve: Serve) -> None:
    """The caller gives 0.5 s, of which a guard takes 0.3; the model may take 0.4."""
    fill(store, 1)
    bad = trouble()

    async def main() -> None:
        plugins: dict[str, Any] = {"trouble": bad}
        if slow:
            plugins["slow"] = Slow
        fallback = {"chain": [VALUE], "give_up_s": 0.4, "max_given_up": 3, "failure_rate": 1.0}
        server = await load(serve(plugins=plugins, models={"m": {"fallback": fallback}}))

        async def dawdle() -> None:
            await asyncio.sleep(0.26)

        bad.done["m/1"] = dawdle
        for _ in range(4):
            answer = await server.ask_rows("m", ROW, waits_s=b"0.5" if slow else b"0.2")
            assert answer.status == 200, answer.body
        assert server.status("m", 1)["breaker"] == "closed"
        answer = await server.ask_rows("m", ROW)
        assert "degraded" not in answer.body or not answer.body["degraded"]

    asyncio.run(main())


def test_a_probe_comes_back_whatever_a_plugin_leaves_in_the_record(store: Path, serve: Serve) -> None:
    fill(store, 1)
    bad = trouble()

    class Odd(Plugin[NoConfig]):
        stage = Stage.CACHE

        def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
            async def predict(request: PredictRequest) -> PredictResponse:
                response = await call_next(request)
                if odd:
                    request.record.cache = GARBAGE
                return response

            return predict

    odd: list[int] = []

    class Mending(Plugin[NoConfig]):
        stage = Stage.OBSERVE

        def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
            async def predict(request: PredictRequest) -> PredictResponse:
                response = await call_next(request)
                request.record.cache = None
                return response

            return predict

    async def main() -> None:
        fallback = {"chain": [VALUE], "minimum": 1, "open_s": 0.05, "max_given_up": 1}
        server = await load(
            serve(
                plugins={"trouble": bad, "odd": Odd, "mending": Mending}, models={"m": {"fallback": fallback}}
            )
        )
        bad.done["m/1"] = raising(FAILURES["deadline"])
        await server.ask_rows("m", ROW)
        assert server.status("m", 1)["breaker"] == "open"
        bad.done.clear()
        await asyncio.sleep(0.1)
        odd.append(1)
        await server.ask_rows("m", ROW)
        odd.clear()
        await asyncio.sleep(0.1)
        await server.ask_rows("m", ROW)
        answer = await server.ask_rows("m", ROW)
        assert not answer.body.get("degraded"), server.status("m", 1)

    asyncio.run(main())
