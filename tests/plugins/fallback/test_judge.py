"""Whose fault a failure is: a breaker opens for everybody, so that no single caller may open it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pytest

from foretell.errors import DeadlineError, InvalidInputError, NotFoundError, Problem, QueueFullError, RunError
from foretell.plugin import ModelInfo, NoConfig, Plugin, Predict, PredictRequest, PredictResponse, Stage
from tests.models import failing_model_bytes, linear_model_bytes, write_model_toml, write_version
from tests.plugins.fallback.servers import Answered, Server

Serve = Callable[..., Server]
VALUE = {"value": {"Y": [-1.0]}}
GOOD, BAD = [[1.0, 2.0]], [[13.0, 13.0]]


class Around(Plugin[NoConfig]):
    """Stands right around each version, below the fallback, and does what a test says before calling on."""

    stage: ClassVar[Stage] = Stage.CACHE
    does: ClassVar[Callable[[str, PredictRequest], Awaitable[None]]]
    asked: ClassVar[list[tuple[str, float, bytes | None]]]

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        name = f"{model.name}/{model.version}"
        kind = type(self)

        async def predict(request: PredictRequest) -> PredictResponse:
            first = float(request.inputs["X"].flat[0])
            kind.asked.append((name, first, request.record.header(b"cache-control")))
            await kind.does(name, request)
            return await call_next(request)

        return predict


def around(does: Callable[[str, PredictRequest], Awaitable[None]]) -> type[Around]:
    return type("Own", (Around,), {"does": staticmethod(does), "asked": []})


async def fail_on_bad(name: str, request: PredictRequest) -> None:
    if name == "m/2" and request.inputs["X"].flat[0] == 13:
        raise RunError("broken by what was asked")


async def loaded(server: Server) -> Server:
    await server.registry.load()
    return server


def fill(store: Path, *versions: int) -> None:
    for version in versions:
        write_version(store, "m", version, linear_model_bytes(2, bias=100.0 * version))


def rules(**more: Any) -> dict[str, Any]:
    return {"m": {"fallback": {"chain": ["version:previous", VALUE], "minimum": 3, **more}}}


def reasons(answers: list[Answered]) -> list[str | None]:
    return [answer.headers.get("x-foretell-degraded") for answer in answers]


def breaker(server: Server, version: int = 2) -> str:
    state: str = server.status("m", version)["breaker"]
    return state


def end_the_wait(server: Server) -> None:
    """The time for which the breaker of version 2 stays open is over."""
    server.fallback._guards["m", 2].breaker._until_s = 0.0


def test_one_callers_bad_data_leaves_the_breaker_closed_for_the_others(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)
    plugin = around(fail_on_bad)

    async def main() -> None:
        server = await loaded(serve(plugins={"around": plugin}, models=rules()))
        for _ in range(30):
            assert reasons([await server.ask_rows("m", BAD)]) == ["error"]
        assert breaker(server) == "closed"
        assert reasons([await server.ask_rows("m", GOOD)]) == [None]
        # Each time that they were about to open it, the version was tried, and not by what a cache remembers.
        assert plugin.asked.count(("m/2", 0.0, b"no-store")) == 10
        assert not server.faults.errors

    asyncio.run(main())


def test_a_model_that_fails_on_what_is_known_to_be_good_opens_its_breaker(store: Path, serve: Serve) -> None:
    async def fail(name: str, _: PredictRequest) -> None:
        if name == "m/2":
            raise RunError("broken")

    fill(store, 1, 2)
    plugin = around(fail)

    async def main() -> None:
        server = await loaded(serve(plugins={"around": plugin}, models=rules()))
        answers = [await server.ask_rows("m", GOOD) for _ in range(5)]
        assert reasons(answers) == ["error", "error", "error", "breaker", "breaker"]
        assert len([name for name, _, _ in plugin.asked if name == "m/2"]) == 3 + 1

    asyncio.run(main())


def test_a_trial_that_waits_holds_up_nobody_and_is_the_only_one(store: Path, serve: Serve) -> None:
    go = asyncio.Event()
    trials = 0

    async def wait_in_trials(name: str, request: PredictRequest) -> None:
        nonlocal trials
        if request.record.header(b"cache-control") is not None:
            trials += 1
            await go.wait()
            raise RunError("broken")
        await fail_on_bad(name, request)

    fill(store, 1, 2)

    async def main() -> None:
        server = await loaded(serve(plugins={"around": around(wait_in_trials)}, models=rules()))
        for _ in range(20):
            assert reasons([await server.ask_rows("m", BAD)]) == ["error"]
        assert (trials, breaker(server)) == (1, "closed")
        go.set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert breaker(server) == "open"

    asyncio.run(main())


def test_a_trial_that_hangs_is_given_up_and_counts_as_failed(store: Path, serve: Serve) -> None:
    given_up = asyncio.Event()

    async def hang_in_trials(name: str, request: PredictRequest) -> None:
        if request.record.header(b"cache-control") is not None:
            try:
                await asyncio.Event().wait()
            finally:
                given_up.set()
        await fail_on_bad(name, request)

    fill(store, 1, 2)

    async def main() -> None:
        server = await loaded(serve(plugins={"around": around(hang_in_trials)}, models=rules(give_up_s=0.01)))
        for _ in range(3):
            await server.ask_rows("m", BAD)
        await asyncio.wait_for(given_up.wait(), 30)
        for _ in range(5):
            await asyncio.sleep(0)
        assert breaker(server) == "open"

    asyncio.run(main())


def test_the_end_of_the_server_ends_a_trial(store: Path, serve: Serve) -> None:
    async def hang_in_trials(name: str, request: PredictRequest) -> None:
        if request.record.header(b"cache-control") is not None:
            await asyncio.Event().wait()
        await fail_on_bad(name, request)

    fill(store, 1, 2)
    servers: list[Server] = []

    async def main() -> None:
        servers.append(await loaded(serve(plugins={"around": around(hang_in_trials)}, models=rules())))
        for _ in range(3):
            await servers[0].ask_rows("m", BAD)

    asyncio.run(main())
    assert breaker(servers[0]) == "closed"


def test_bad_data_does_not_keep_an_open_breaker_from_closing(store: Path, serve: Serve) -> None:
    broken = True

    async def fail(name: str, request: PredictRequest) -> None:
        if name == "m/2" and broken:
            raise RunError("broken")
        await fail_on_bad(name, request)

    fill(store, 1, 2)

    async def main() -> None:
        nonlocal broken
        server = await loaded(serve(plugins={"around": around(fail)}, models=rules(open_s=1000)))
        for _ in range(3):
            await server.ask_rows("m", GOOD)
        end_the_wait(server)
        assert breaker(server) == "half-open"
        assert reasons([await server.ask_rows("m", BAD)]) == ["error"]
        assert breaker(server) == "open"  # it failed on what is known to be good, too
        broken = False
        end_the_wait(server)
        assert reasons([await server.ask_rows("m", BAD)]) == ["error"]
        assert breaker(server) == "closed"

    asyncio.run(main())


@pytest.mark.parametrize("status", ["coalesced", "hit"])
def test_what_a_cache_answered_or_let_wait_says_nothing_about_the_model(
    status: Any, store: Path, serve: Serve
) -> None:
    """One run that fails is one failure, however many wait for it; and answers of a cache hide no failures."""
    answers = False

    async def cache(_: str, request: PredictRequest) -> None:
        if not answers:
            if request.inputs["X"].flat[0] == 13:
                request.record.cache = status
            raise DeadlineError("the run that it waited for")
        request.record.cache = status

    fill(store, 2)

    async def main() -> None:
        nonlocal answers
        server = await loaded(serve(plugins={"around": around(cache)}, models=rules(max_given_up=1000)))
        for _ in range(20):
            assert reasons([await server.ask_rows("m", BAD)]) == ["timeout"]
        assert breaker(server) == "closed"
        answers = True
        for _ in range(20):
            assert reasons([await server.ask_rows("m", GOOD)]) == [None]
        answers = False
        for _ in range(3):
            await server.ask_rows("m", GOOD)
        assert breaker(server) == "open"

    asyncio.run(main())


@pytest.mark.parametrize(
    "error", [InvalidInputError(Problem("$", "no")), NotFoundError("gone")], ids=["input", "gone"]
)
def test_a_callers_mistake_is_none_of_what_is_asked_in_place(
    error: Exception, store: Path, serve: Serve
) -> None:
    """The next link is asked, which may be less strict."""

    async def fail(name: str, _: PredictRequest) -> None:
        raise RunError("broken") if name == "m/2" else error

    fill(store, 1, 2)

    async def main() -> None:
        server = await loaded(serve(plugins={"around": around(fail)}, models=rules(minimum=1000)))
        for _ in range(20):
            answer = await server.ask_rows("m", GOOD)
            assert answer.steps == [("m/2", "error"), ("m/1", "refused"), ("value", "ok")]
        assert breaker(server, 1) == "closed"

    asyncio.run(main())


def test_bad_data_does_not_open_the_breaker_of_what_is_asked_in_place(store: Path, serve: Serve) -> None:
    async def fail(name: str, request: PredictRequest) -> None:
        if name == "m/2" or request.inputs["X"].flat[0] == 13:
            raise RunError("broken")

    fill(store, 1, 2)

    async def main() -> None:
        server = await loaded(serve(plugins={"around": around(fail)}, models=rules()))
        for _ in range(20):
            await server.ask_rows("m", BAD)
        assert (breaker(server, 2), breaker(server, 1)) == ("open", "closed")
        assert (await server.ask_rows("m", GOOD)).body["served_by"] == "m/1"

    asyncio.run(main())


def test_a_full_queue_falls_back_and_says_nothing_about_the_model(store: Path, serve: Serve) -> None:
    async def refuse(name: str, _: PredictRequest) -> None:
        if name == "m/2":
            raise QueueFullError("full")

    fill(store, 1, 2)

    async def main() -> None:
        server = await loaded(serve(plugins={"around": around(refuse)}, models=rules()))
        answers = [await server.ask_rows("m", GOOD) for _ in range(20)]
        assert set(reasons(answers)) == {"queue-full"}
        assert {answer.record.degraded for answer in answers} == {"queue-full"}
        assert answers[0].steps == [("m/2", "queue-full"), ("m/1", "ok")]
        assert breaker(server) == "closed"

    asyncio.run(main())


def test_a_trial_for_which_there_is_no_room_decides_nothing(store: Path, serve: Serve) -> None:
    async def refuse_trials(name: str, request: PredictRequest) -> None:
        if request.record.header(b"cache-control") is not None:
            raise QueueFullError("full")
        await fail_on_bad(name, request)

    fill(store, 1, 2)
    plugin = around(refuse_trials)

    async def main() -> None:
        server = await loaded(serve(plugins={"around": plugin}, models=rules()))
        for _ in range(5):
            await server.ask_rows("m", BAD)
        assert breaker(server) == "closed"
        assert (
            len([each for each in plugin.asked if each[2] is not None]) == 3
        )  # after the third, each tries again

    asyncio.run(main())


def test_of_a_model_that_was_never_run_the_first_answer_is_what_is_known_to_be_good(
    store: Path, serve: Serve
) -> None:
    write_version(store, "m", 2, failing_model_bytes(), manifest=False)
    write_model_toml(store, "m", "warm_up = false\n")
    value = {"value": {"Y": -1.0}}

    async def main() -> None:
        server = await loaded(
            serve(models={"m": {"fallback": {"chain": [value], "minimum": 3, "open_s": 1000}}})
        )
        answers = [await server.ask_rows("m", [99]) for _ in range(4)]
        assert reasons(answers) == ["error"] * 3 + ["breaker"]  # nothing is known to be good
        end_the_wait(server)
        assert (await server.ask_rows("m", [2, 0])).body["predictions"] == [3.0, 1.0]
        for _ in range(20):
            assert reasons([await server.ask_rows("m", [99])]) == ["error"]
        assert breaker(server) == "closed"

    asyncio.run(main())


def test_what_is_kept_is_one_row_and_nobody_elses_memory(store: Path, serve: Serve) -> None:
    from foretell_plugins.fallback.breaker import Breaker, BreakerRules
    from foretell_plugins.fallback.judge import Judge
    from tests.plugin.chains import ask, info

    request = ask(*([float(row), 0.5] for row in range(50)))
    judge = Judge(info(run_us=None), Breaker(BreakerRules()), cast("Any", None), give_up_s=None)
    judge.learn(request)
    judge.learn(ask([7, 7]))
    assert judge._good is not None
    assert judge._good["X"].tolist() == [[0.0, 0.5]]
    assert not np.shares_memory(judge._good["X"], request.inputs["X"])


async def hang_on_bad(name: str, request: PredictRequest) -> None:
    if name == "m/2" and request.inputs["X"].flat[0] == 13:
        await asyncio.Event().wait()


async def hang(name: str, request: PredictRequest) -> None:
    if name == "m/2":
        await asyncio.Event().wait()


async def hurry(server: Server, times: int) -> None:
    for _ in range(times):
        answer = await server.ask_rows("m", BAD, waits_s=b"0.02")
        assert reasons([answer]) == ["timeout"]


def test_a_caller_in_a_hurry_leaves_the_breaker_closed_for_the_others(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)

    async def main() -> None:
        models = rules(max_given_up=2, open_s=1000)
        server = await loaded(serve(plugins={"around": around(hang_on_bad)}, models=models))
        await hurry(server, 8)
        assert breaker(server) == "closed"
        assert reasons([await server.ask_rows("m", GOOD)]) == [None]

    asyncio.run(main())


def test_a_probe_of_a_caller_in_a_hurry_does_not_open_the_breaker_again(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)

    async def main() -> None:
        models = rules(open_s=1000)
        server = await loaded(serve(plugins={"around": around(hang_on_bad)}, models=models))
        server.fallback._guards["m", 2].breaker.confirmed(1)
        assert breaker(server) == "open"
        end_the_wait(server)
        await hurry(server, 1)
        assert breaker(server) == "closed"  # the trial was answered

    asyncio.run(main())


def test_a_model_that_hangs_whatever_is_asked_is_found_out_by_callers_in_a_hurry_too(
    store: Path, serve: Serve
) -> None:
    fill(store, 1, 2)

    async def main() -> None:
        models = rules(max_given_up=1000, open_s=1000)
        server = await loaded(serve(plugins={"around": around(hang)}, models=models))
        judge = server.fallback._guards["m", 2]._judge
        judge._limit_s = 0.05
        await hurry(server, 3)
        trial = judge._trial
        assert trial is not None
        await trial
        assert breaker(server) == "open"

    asyncio.run(main())


def test_what_takes_longer_than_the_team_allows_counts_whatever_its_caller_said(
    store: Path, serve: Serve
) -> None:
    fill(store, 1, 2)

    async def main() -> None:
        models = rules(give_up_s=0.01, max_given_up=2, open_s=1000)
        server = await loaded(serve(plugins={"around": around(hang_on_bad)}, models=models))
        for _ in range(2):
            await server.ask_rows("m", BAD, waits_s=b"30")
        assert breaker(server) == "open"

    asyncio.run(main())


def test_of_a_model_that_never_answered_a_caller_in_a_hurry_says_nothing(store: Path, serve: Serve) -> None:
    fill(store, 1, 2)
    write_model_toml(store, "m", "warm_up = false")

    async def main() -> None:
        models = rules(max_given_up=2, open_s=1000)
        server = await loaded(serve(plugins={"around": around(hang_on_bad)}, models=models))
        await hurry(server, 8)
        assert breaker(server) == "closed"

    asyncio.run(main())
