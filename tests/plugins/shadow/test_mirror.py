"""Mirrored requests are compared, bounded, and nothing that their callers could notice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from litestar import Litestar

from foretell.errors import RunError
from foretell.plugin import ModelInfo, Plugin, Predict, PredictRequest, PredictResponse
from foretell.signature import Signature, Tensor
from foretell_plugins.cache import Cache
from foretell_plugins.canary import Canary
from foretell_plugins.canary.counterpart import Counterpart
from foretell_plugins.shadow import Shadow, ShadowConfig
from foretell_plugins.shadow.mirror import Mirror
from foretell_plugins.shadow.report import Report
from foretell_plugins.shadow.tallies import Tallies
from tests.models import (
    classifier_bytes,
    identity_bytes,
    linear_model_bytes,
    make_manifest,
    write_model_toml,
    write_version,
)
from tests.plugin.chains import Engine, ask, info
from tests.plugins.fallback.servers import Server
from tests.plugins.shadow.probes import (
    CURRENT,
    PATIENCE_S,
    Probe,
    make_probe,
    mirrored,
    settled,
    shadow_of,
)

Serve = Callable[..., Server]
ROW = [[1.0, 2.0]]
THREE = PredictResponse({"Y": np.array([[3]], dtype=np.float32)})


def fill(store: Path, **biases: float) -> None:
    """Versions ``v1``, ``v2``… of a model that adds a row up; version 1 answers by default."""
    for name, bias in biases.items():
        write_version(store, "m", int(name[1:]), linear_model_bytes(2, bias=bias))
    write_model_toml(store, "m", "default = 1\naliases.candidate = 2\n")


@pytest.fixture
def start(serve: Serve) -> Callable[..., Awaitable[tuple[Server, type[Probe]]]]:
    """A loaded server whose model has a shadow, and a probe around each version."""

    async def loaded(
        *,
        plugins: dict[str, type[Plugin[Any]]] | None = None,
        of_model: dict[str, Any] | None = None,
        **config: Any,
    ) -> tuple[Server, type[Probe]]:
        probe = make_probe()
        server = serve(
            plugins={"shadow": Shadow, **(plugins or {}), "probe": probe},
            models={"m": {"shadow": {"target": "candidate", **config}, **(of_model or {})}},
        )
        await server.registry.load()
        return server, probe

    return loaded


Start = Callable[..., Awaitable[tuple[Server, type[Probe]]]]


def status(server: Server, version: int = 1) -> dict[str, Any]:
    told: dict[str, Any] = server.plugins.status("m", version).get("shadow", {})
    return told


def counts(server: Server) -> dict[str, int]:
    return {
        key: value
        for key, value in status(server).items()
        if key in {"agreed", "differed", "failed", "dropped"} and value
    }


def events(server: Server, event: str) -> list[dict[str, Any]]:
    return [each for each in server.events if each["event"] == event]


def raising(error: BaseException) -> Callable[[], Awaitable[None]]:
    async def fail() -> None:
        raise error

    return fail


def replace(server: Server, version: int, end: Predict) -> None:
    """Let something else run in place of a version, with the same plugins around it."""
    endpoint: Any = server.registry.models["m"].versions[version]
    table = server.registry.models["m"].config.plugins
    endpoint.chain = server.plugins.compose(endpoint.info, end, table)


# ------------------------------------------------------------------ what is counted


def test_answers_that_agree_and_that_differ_are_counted_by_request_and_by_row(
    store: Path, start: Start
) -> None:
    write_version(store, "m", 1, linear_model_bytes(2, weights=[1, 1]))
    write_version(store, "m", 2, linear_model_bytes(2, weights=[1, 2]))
    write_model_toml(store, "m", "default = 1\naliases.candidate = 2\n")

    async def main() -> None:
        server, _ = await start()
        await server.ask_rows("m", [[1, 0], [2, 0]])
        await server.ask_rows("m", [[1, 0], [2, 3], [4, 5], [6, 0]])
        await settled(server)
        told = status(server)
        assert told["rows_agreed"] == 4 / 6
        assert (told["target"], told["means"], told["waiting"]) == ("candidate", "m/2", 0)
        assert counts(server) == {"agreed": 1, "differed": 1}
        found = {each.name: each.samples for each in shadow_of(server).instruments()}
        labels = {"model": "m", "version": "1", "target": "m/2"}
        assert found["foretell_shadow_total"] == [
            ({**labels, "outcome": "agreed"}, 1),
            ({**labels, "outcome": "differed"}, 1),
            ({**labels, "outcome": "failed"}, 0),
            ({**labels, "outcome": "dropped"}, 0),
        ]
        assert found["foretell_shadow_rows_total"] == [
            ({**labels, "outcome": "agreed"}, 4),
            ({**labels, "outcome": "differed"}, 2),
        ]
        assert found["foretell_shadow_greatest_difference"] == [(labels, 5.0)]
        ((_, caller_s), (_, shadow_s)) = found["foretell_shadow_seconds_total"]
        assert caller_s > 0
        assert shadow_s > 0

    asyncio.run(main())


def test_a_difference_is_logged_by_request_id_and_rows_and_without_inputs(store: Path, start: Start) -> None:
    fill(store, v1=0, v2=1)

    async def main() -> None:
        server, _ = await start()
        first = await server.ask_rows("m", [[42.0, 2.0]] * 3)
        for _ in range(5):
            await server.ask_rows("m", ROW)
        await settled(server)
        (event,) = events(server, "shadow differs")
        assert event == {
            "event": "shadow differs",
            "model": "m",
            "version": 1,
            "target": "m/2",
            "request_id": first.record.request_id,
            "rows": 3,
            "differing": 3,
            "first_rows": (0, 1, 2),
            "difference": 1.0,
            "also": 0,
        }

    asyncio.run(main())


def test_the_log_is_not_flooded_and_says_how_much_it_left_out() -> None:
    now_s = 100.0
    lines: list[dict[str, Any]] = []

    class Log:
        def warning(self, event: str, **fields: Any) -> None:
            lines.append({"event": event, **fields})

    log: Any = Log()
    report = Report(log, info(), clock_s=lambda: now_s)
    for _ in range(4):
        report.failed(info(version=2), "broken", "r1")
    now_s += 10
    report.failed(info(version=2), "broken", "r2")
    assert [(line["request_id"], line["also"]) for line in lines] == [("r1", 0), ("r2", 3)]


def test_of_a_classifier_the_labels_decide(store: Path, start: Start) -> None:
    signature = Signature(
        (Tensor("X", "float32", ("batch", 4)),),
        (Tensor("label", "int64", ("batch",)), Tensor("probabilities", "float32", ("batch", 3))),
        task="classification",
        classes=(0, 1, 2),
        prediction="label",
        probabilities="probabilities",
    )
    model = classifier_bytes()
    for number in (1, 2):
        write_version(store, "m", number, model, make_manifest(model, signature))
    write_model_toml(store, "m", "default = 1\naliases.candidate = 2\n")

    async def main() -> None:
        server, _ = await start(rtol=0, atol=0)
        await server.ask_rows("m", [[1, 2, 3, 4], [4, 3, 2, 1]])
        await settled(server)
        assert counts(server) == {"agreed": 1}

    asyncio.run(main())


def test_a_large_answer_is_compared_too(store: Path, start: Start) -> None:
    for number in (1, 2):
        write_version(store, "m", number, identity_bytes("float32", ("batch", 700)))
    write_model_toml(store, "m", "default = 1\naliases.candidate = 2\n")

    async def main() -> None:
        server, _ = await start()
        await server.ask_rows("m", [[1.0] * 700] * 100)
        await settled(server)
        assert counts(server) == {"agreed": 1}
        assert status(server)["rows_agreed"] == 1

    asyncio.run(main())


# ------------------------------------------------------------------ what callers notice: nothing


def test_the_target_is_asked_after_the_caller_has_its_answer(store: Path, start: Start) -> None:
    fill(store, v1=0, v2=0)

    async def main() -> None:
        server, probe = await start()
        answer = await server.ask_rows("m", ROW)
        assert answer.record.finished_ns > 0
        assert mirrored(probe) == []
        await settled(server)
        assert len(mirrored(probe)) == 1

    asyncio.run(main())


def test_a_mirrored_request_has_a_record_and_a_context_of_its_own(store: Path, start: Start) -> None:
    fill(store, v1=0, v2=0)

    async def main() -> None:
        server, probe = await start()
        CURRENT.set("the caller's span")
        answer = await server.ask_rows("m", ROW)
        before = msgspec.structs.asdict(answer.record)
        await settled(server)
        assert msgspec.structs.asdict(answer.record) == before
        (name, request, current), (other, again, none) = probe.asked
        assert (name, other) == ("m/1", "m/2")
        assert (current, none) == ("the caller's span", "nothing")
        assert request.record is answer.record
        assert again.record is not answer.record
        assert again.record.request_id == answer.record.request_id
        assert (again.record.model, again.record.version, again.record.rows) == ("m", 2, 1)
        assert (again.record.deadline_ns, again.record.trace_id, again.record.span_id) == (0, None, None)
        assert again.inputs["X"].tolist() == request.inputs["X"].tolist()
        assert not again.inputs["X"].flags.writeable

    asyncio.run(main())


def test_a_target_that_hangs_keeps_nobody_waiting(store: Path, start: Start) -> None:
    fill(store, v1=0, v2=0)

    async def main() -> None:
        server, _ = await start(deadline_s=3600)
        entered, go = asyncio.Event(), asyncio.Event()

        async def hang(request: PredictRequest) -> PredictResponse:
            entered.set()
            await go.wait()
            return THREE

        replace(server, 2, hang)
        assert (await server.ask_rows("m", ROW)).status == 200
        await asyncio.wait_for(entered.wait(), PATIENCE_S)
        for _ in range(3):
            answer = await server.ask_rows("m", ROW)
            assert (answer.status, answer.body["predictions"]) == (200, [3.0])
        assert (status(server)["waiting"], counts(server)) == (3, {})
        go.set()
        await settled(server)
        assert counts(server) == {"agreed": 4}

    asyncio.run(main())


def test_a_target_that_takes_too_long_is_given_up_and_its_breaker_is_not_told(
    store: Path, start: Start
) -> None:
    fill(store, v1=0, v2=0)

    async def main() -> None:
        fallback = {"chain": ["version:3"], "max_given_up": 1}
        server, _ = await start(deadline_s=0.02, of_model={"fallback": fallback})
        gone = asyncio.Event()

        async def hang(request: PredictRequest) -> PredictResponse:
            try:
                await asyncio.Event().wait()
            finally:
                gone.set()
            raise AssertionError

        replace(server, 2, hang)
        await server.ask_rows("m", ROW)
        await settled(server)
        assert gone.is_set()
        assert counts(server) == {"failed": 1}
        (event,) = events(server, "shadow failed")
        assert event["reason"] == "TimeoutError: it did not answer within 0.02 s (plugins.shadow.deadline_s)"
        assert server.status("m", 2)["breaker"] == "closed"

    asyncio.run(main())


@pytest.mark.parametrize(
    "error",
    [RunError("broken"), ZeroDivisionError("broken"), TimeoutError("broken")],
    ids=["run", "bug", "timeout"],
)
def test_a_target_that_fails_fails_no_caller(error: Exception, store: Path, start: Start) -> None:
    fill(store, v1=0, v2=0)

    async def main() -> None:
        server, _ = await start()

        async def broken(request: PredictRequest) -> PredictResponse:
            raise error

        replace(server, 2, broken)
        answer = await server.ask_rows("m", ROW)
        await settled(server)
        assert (answer.status, answer.body["predictions"]) == (200, [3.0])
        assert counts(server) == {"failed": 1}
        (event,) = events(server, "shadow failed")
        assert (event["reason"], event["target"]) == (f"{type(error).__name__}: broken", "m/2")
        assert server.faults.errors == {}

    asyncio.run(main())


def test_an_answer_without_the_output_fails_no_caller(store: Path, start: Start) -> None:
    fill(store, v1=0, v2=0)

    async def main() -> None:
        server, _ = await start()

        async def other(request: PredictRequest) -> PredictResponse:
            return PredictResponse({})

        replace(server, 2, other)
        await server.ask_rows("m", ROW)
        await settled(server)
        assert counts(server) == {"failed": 1}

    asyncio.run(main())


def test_a_caller_that_goes_away_is_not_mirrored(store: Path, start: Start) -> None:
    fill(store, v1=0, v2=0)

    async def main() -> None:
        server, probe = await start()
        entered = asyncio.Event()

        async def wait() -> None:
            entered.set()
            await asyncio.Event().wait()

        probe.before["m/1"] = wait
        asking = asyncio.create_task(server.ask_rows("m", ROW))
        await asyncio.wait_for(entered.wait(), PATIENCE_S)
        asking.cancel()
        await asyncio.wait({asking})
        await settled(server)
        assert asking.cancelled()
        assert mirrored(probe) == []

    asyncio.run(main())


# ------------------------------------------------------------------ what is mirrored


def test_an_answer_in_the_place_of_a_version_is_not_compared(store: Path, start: Start) -> None:
    fill(store, v1=0, v2=0)

    async def main() -> None:
        server, probe = await start(of_model={"fallback": [{"value": {"Y": [7.0]}}]})
        probe.before["m/1"] = raising(RunError("broken"))
        assert (await server.ask_rows("m", ROW)).body["degraded"]
        await settled(server)
        assert mirrored(probe) == []
        del probe.before["m/1"]
        probe.before["m/2"] = raising(RunError("broken"))
        await server.ask_rows("m", ROW)
        await settled(server)
        assert counts(server) == {"failed": 1}
        (event,) = events(server, "shadow failed")
        assert event["reason"] == "value answered in its place: error"

    asyncio.run(main())


def test_a_hit_in_the_cache_is_not_mirrored_and_a_mirrored_request_leaves_the_cache_alone(
    store: Path, start: Start
) -> None:
    fill(store, v1=0, v2=0)

    async def main() -> None:
        server, probe = await start(plugins={"cache": Cache}, of_model={"cache": {"force": True}})
        hits = [(await server.ask_rows("m", ROW)).record.cache for _ in range(3)]
        await settled(server)
        assert hits == ["miss", "hit", "hit"]
        (again,) = mirrored(probe)
        assert again.record.cache == "bypass"
        assert (await server.ask_rows("m/versions/2", ROW)).record.cache == "miss"

    asyncio.run(main())


def test_the_target_itself_is_not_mirrored(store: Path, start: Start) -> None:
    fill(store, v1=0, v2=0)

    async def main() -> None:
        canary = {"weights": {"candidate": 100}}
        server, probe = await start(plugins={"canary": Canary}, of_model={"canary": canary})
        assert (await server.ask_rows("m", ROW)).body["model_version"] == "2"
        await settled(server)
        assert [name for name, *_ in probe.asked] == ["m/2"]
        assert status(server, 2) == {"target": "candidate", "problem": "it is this very version"}

    asyncio.run(main())


def test_another_model_can_be_the_target_and_an_alias_is_followed(store: Path, start: Start) -> None:
    fill(store, v1=0)
    for number in (1, 2):
        write_version(store, "other", number, linear_model_bytes(2, bias=number - 1))
    write_model_toml(store, "other", "aliases.next = 1\n")

    async def main() -> None:
        server, _ = await start(target="model:other/next")
        await server.ask_rows("m", ROW)
        await settled(server)
        assert (status(server)["means"], counts(server)) == ("other/1", {"agreed": 1})
        server.registry.models["other"].config.aliases["next"] = 2
        await server.ask_rows("m", ROW)
        await settled(server)
        assert (status(server)["means"], counts(server)) == ("other/2", {"differed": 1})

    asyncio.run(main())


@pytest.mark.parametrize("target", ["3", "candidate", "model:other"])
def test_a_target_that_is_not_there_is_told_once_and_stops_nothing(
    target: str, store: Path, start: Start
) -> None:
    write_version(store, "m", 1, linear_model_bytes(2))

    async def main() -> None:
        server, _ = await start(target=target)
        for _ in range(3):
            assert (await server.ask_rows("m", ROW)).status == 200
        (event,) = events(server, "nothing is mirrored")
        assert status(server) == {"target": target, "problem": event["reason"]}
        assert list(shadow_of(server).instruments()) == []

    asyncio.run(main())


def test_a_target_of_another_signature_takes_nothing_out_of_service_and_is_told_of(
    store: Path, start: Start
) -> None:
    fill(store, v1=0, v4=0)
    write_version(store, "m", 2, linear_model_bytes(3))
    write_version(store, "m", 3, linear_model_bytes(3))

    async def main() -> None:
        server, _ = await start()
        assert server.registry.models["m"].failures == {}
        assert (await server.ask_rows("m", ROW)).status == 200
        told = [event["reason"] for event in events(server, "nothing is mirrored")]
        assert (
            "m version 2 is not like m version 1: it takes the input 'X' as float32[batch, 3], "
            "this model takes 'X' as float32[batch, 2]"
        ) in told
        assert (await server.ask_rows("m/versions/4", ROW)).status == 200
        assert "is not like m version 4" in status(server, 4)["problem"]
        assert status(server, 3)["means"] == "m/2"

    asyncio.run(main())


def test_an_output_that_the_version_does_not_give_refuses_it(store: Path, start: Start) -> None:
    fill(store, v1=0, v2=0)

    async def main() -> None:
        server, _ = await start(outputs=["Z"])
        assert server.registry.models["m"].failures == {
            1: "plugin 'shadow': plugins.shadow.outputs names 'Z', which is not among the outputs: Y"
        }

    asyncio.run(main())


# ------------------------------------------------------------------ bounds


def test_what_finds_no_room_is_dropped_and_counted(store: Path, start: Start) -> None:
    fill(store, v1=0, v2=0)

    async def main() -> None:
        server, _ = await start(max_pending=2, max_running=1)
        entered, go = asyncio.Event(), asyncio.Event()
        running: list[int] = []

        async def wait(request: PredictRequest) -> PredictResponse:
            running.append(1)
            entered.set()
            await go.wait()
            running.pop()
            return THREE

        replace(server, 2, wait)
        await server.ask_rows("m", ROW)
        await asyncio.wait_for(entered.wait(), PATIENCE_S)
        for _ in range(5):
            assert (await server.ask_rows("m", ROW)).status == 200
        assert (len(running), status(server)["waiting"], counts(server)) == (1, 2, {"dropped": 3})
        go.set()
        await settled(server)
        assert counts(server) == {"agreed": 3, "dropped": 3}

    asyncio.run(main())


def test_what_would_take_too_much_memory_is_dropped(store: Path, start: Start) -> None:
    fill(store, v1=0, v2=0)

    async def main() -> None:
        server, _ = await start(max_pending_bytes=1000)
        await server.ask_rows("m", [[1, 2]] * 100)
        await server.ask_rows("m", ROW)
        await settled(server)
        await server.ask_rows("m", ROW)
        await settled(server)
        assert counts(server) == {"agreed": 2, "dropped": 1}

    asyncio.run(main())


def test_as_many_are_asked_at_once_as_may_be(store: Path, start: Start) -> None:
    fill(store, v1=0, v2=0)

    async def main() -> None:
        server, _ = await start(max_running=3)
        together = asyncio.Barrier(3)

        async def meet(request: PredictRequest) -> PredictResponse:
            await together.wait()
            return THREE

        replace(server, 2, meet)
        for _ in range(6):
            await server.ask_rows("m", ROW)
        await settled(server)
        assert counts(server) == {"agreed": 6}

    asyncio.run(main())


def test_at_the_end_of_the_server_what_is_still_to_be_asked_is_given_up(store: Path, start: Start) -> None:
    fill(store, v1=0, v2=0)

    async def main() -> None:
        server, _ = await start(deadline_s=3600)
        entered = asyncio.Event()

        async def hang(request: PredictRequest) -> PredictResponse:
            entered.set()
            await asyncio.Event().wait()
            raise AssertionError

        replace(server, 2, hang)
        async with shadow_of(server).lifespan(Litestar()):
            await server.ask_rows("m", ROW)
            await asyncio.wait_for(entered.wait(), PATIENCE_S)
            await server.ask_rows("m", ROW)
        await settled(server)
        assert counts(server) == {"dropped": 1}
        assert (await server.ask_rows("m", ROW)).status == 200
        assert counts(server) == {"dropped": 2}

    asyncio.run(main())


# ------------------------------------------------------------------ one version alone


TARGET = info(version=2)


class Models:
    """One version to be asked; keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[PredictRequest] = []

    def infos(self, model: str | None = None) -> list[ModelInfo]:
        return [TARGET]

    def info(self, model: str, version: int | str | None = None) -> ModelInfo | None:
        return TARGET

    async def predict(
        self, model: str, version: int | str | None, request: PredictRequest
    ) -> PredictResponse:
        self.asked.append(request)
        return await Engine()(request)


def alone(chance: Callable[[], float] = lambda: 0.0, **config: Any) -> tuple[Mirror, Models, Tallies]:
    models, tallies = Models(), Tallies()
    log: Any = None
    mirror = Mirror(
        info(),
        Engine(),
        config=ShadowConfig(target="2", **config),
        counterpart=Counterpart(info(), models, "m", 2, on_problem=pytest.fail),
        models=models,
        tallies=tallies,
        report=Report(log, info()),
        chance=chance,
    )
    return mirror, models, tallies


async def finished(mirror: Mirror) -> None:
    if mirror._workers:
        await asyncio.wait(mirror._workers, timeout=PATIENCE_S)


def test_chance_decides_which_requests_are_mirrored() -> None:
    async def main() -> None:
        drawn = iter([0.1, 0.24, 0.25, 0.9])
        mirror, models, _ = alone(lambda: next(drawn), fraction=0.25)
        asked = [ask() for _ in range(4)]
        for request in asked:
            await mirror.predict(request)
        await finished(mirror)
        assert [each.record.request_id for each in models.asked] == [
            each.record.request_id for each in asked[:2]
        ]

    asyncio.run(main())


def test_what_a_plugin_changes_afterwards_is_not_seen() -> None:
    async def main() -> None:
        mirror, models, tallies = alone()
        request = ask([1, 2])
        changing = request.replace(inputs={"X": np.array([[1, 2]], dtype=np.float32)})
        response = await mirror.predict(changing)
        changing.inputs["X"][:] = 9
        response.outputs["Y"][:] = 9
        await finished(mirror)
        assert models.asked[0].inputs["X"].tolist() == [[1, 2]]
        assert tallies.of(info(), TARGET).agreed == 1

    asyncio.run(main())


def test_the_same_outputs_are_asked_for() -> None:
    async def main() -> None:
        mirror, models, tallies = alone(outputs=("Z",))
        await mirror.predict(msgspec.structs.replace(ask(), outputs=("Y",)))
        await finished(mirror)
        assert models.asked[0].outputs == ("Y",)
        assert tallies.of(info(), TARGET).agreed == 1

    asyncio.run(main())
