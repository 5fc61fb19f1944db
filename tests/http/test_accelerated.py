"""The accelerated protocol: what it must keep of what uvicorn and Litestar do, and when it must leave a request to them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import uvloop

from foretell.http.lifecycle import Lifecycle
from foretell.plugin.observers import Observer
from tests.http.ways import Way, open_ways, settle
from tests.models import linear_model_bytes, scaled_bytes, slow_model_bytes, write_version

BODY = b'{"instances": [[1, 2]]}'


def question_of(body: bytes, model: str = "m") -> bytes:
    """A prediction as most clients ask for it."""
    return (
        b"POST /v1/models/%b:predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (model.encode(), len(body), body)
    )


QUESTION = question_of(BODY)
SLOW_QUESTION = question_of(json.dumps({"instances": [[1] * 512]}, separators=(",", ":")).encode(), "slow")
"""For a model that takes 512 columns, and does not answer at once."""

LEAKS = """
from contextvars import ContextVar
from foretell.plugin import Plugin, Shortcut, Stage

LEFT = ContextVar("LEFT", default=None)

class Leaving(Shortcut):
    def begin(self, request):
        request.record.add_header(b"x-left", str(LEFT.get()).encode())
        LEFT.set("something")
        return self

class Leaks(Plugin):
    stage = Stage.GUARD

    def wrap_predict(self, call_next, model):
        return Leaving()
"""

WATCHES = """
from foretell.plugin import Plugin, Stage

class Watches(Plugin):
    stage = Stage.OBSERVE

    def on_app_init(self, app_config):
        def watching(app):
            async def watch(scope, receive, send):
                async def marked(message):
                    if message["type"] == "http.response.start":
                        message["headers"] = [*message["headers"], (b"x-watched", b"yes")]
                    await send(message)

                await app(scope, receive, marked)

            return watch

        app_config.middleware.append(watching)
        return app_config
"""

HOOKS = """
from foretell.plugin import Plugin, Stage

async def mark(message, scope):
    if message["type"] == "http.response.start":
        message["headers"] = [*message["headers"], (b"x-watched", b"yes")]

class Hooks(Plugin):
    stage = Stage.OBSERVE

    def on_app_init(self, app_config):
        app_config.before_send.append(mark)
        return app_config
"""

ODD = """
from foretell.plugin import Plugin, Shortcut, Stage

class Leaving(Shortcut):
    def begin(self, request):
        request.record.answer_headers = [(b"x-odd", b"a\\x01"), (b"x-even", b"a")]
        return self

class Odd(Plugin):
    stage = Stage.GUARD

    def wrap_predict(self, call_next, model):
        return Leaving()
"""

GUARDED = """
from litestar import Router
from litestar.exceptions import PermissionDeniedException
from foretell.plugin import Plugin, Stage

def check(connection, handler):
    if connection.headers.get("x-key") != "yes":
        raise PermissionDeniedException("no")

class Guarded(Plugin):
    stage = Stage.GUARD

    def on_app_init(self, app_config):
        app_config.route_handlers = [Router("/", route_handlers=app_config.route_handlers, guards=[check])]
        return app_config
"""

FAILS = """
from foretell.errors import AccessDeniedError
from foretell.plugin import Plugin, Shortcut, Stage

class Failing(Shortcut):
    def begin(self, request):
        match request.record.header(b"x-fail"):
            case b"surrogate":
                raise AccessDeniedError("no \\udcff")
            case b"exit":
                raise GeneratorExit
            case b"list":
                request.record.answer_headers = [[b"x-a", b"b"]]
            case b"break":
                request.record.request_id = "a\\r\\nx-evil: 1"
        return self

class Fails(Plugin):
    stage = Stage.GUARD

    def wrap_predict(self, call_next, model):
        return Failing()
"""

CLEANS = """
import asyncio
from pathlib import Path
from foretell.plugin import Plugin, Stage

class Cleans(Plugin):
    stage = Stage.GUARD

    def wrap_predict(self, call_next, model):
        async def predict(request):
            if request.record.header(b"x-wait") is None:
                return await call_next(request)
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.01)
                with (Path(__file__).parent / "cleaned").open("a") as file:
                    file.write("cleaned ")

        return predict
"""

SPOILS = """
import asyncio
from foretell.plugin import Plugin, Stage

class Spoils(Plugin):
    stage = Stage.GUARD

    def wrap_predict(self, call_next, model):
        async def predict(request):
            await asyncio.sleep(0.001)
            request.record.request_id = "a\\r\\nx-evil: 1"
            return await call_next(request)

        return predict
"""

SPOILS_SOME = """
from foretell.plugin import Plugin, Shortcut, Stage

class Spoiling(Shortcut):
    def begin(self, request):
        return True

    def end(self, request, begun, response):
        if next(iter(request.inputs.values()))[0, 0] == 6:
            request.record.request_id = "a\\r\\nx-evil: 1"

class SpoilsSome(Plugin):
    stage = Stage.GUARD

    def wrap_predict(self, call_next, model):
        return Spoiling()
"""

MARKS = """
from contextvars import ContextVar
from pathlib import Path
from foretell.plugin import Plugin, Shortcut, Stage

MARK = ContextVar("MARK", default=None)

class Marking(Shortcut):
    def begin(self, request):
        return MARK.set(str(next(iter(request.inputs.values()))[0, 0]))

    def end(self, request, begun, response):
        request.record.add_header(b"x-mark", MARK.get().encode())
        request.record.add_header(b"x-together", str(request.record.together).encode())
        MARK.reset(begun)

    def failed(self, request, begun, error):
        with (Path(__file__).parent / "failed").open("a") as file:
            file.write(f"{MARK.get()} {type(error).__name__}\\n")
        MARK.reset(begun)
        return False

class Marks(Plugin):
    stage = Stage.GUARD

    def wrap_predict(self, call_next, model):
        return Marking()
"""

RESETS = """
from contextvars import ContextVar
from foretell.plugin import Plugin, Shortcut, Stage

TENANT = ContextVar("TENANT", default=None)

class Setting(Shortcut):
    def begin(self, request):
        return TENANT.set("somebody")

    def end(self, request, begun, response):
        TENANT.reset(begun)

class Resets(Plugin):
    stage = Stage.GUARD

    def wrap_predict(self, call_next, model):
        return Setting()
"""

Test = Callable[[Way], Awaitable[None]]
Run = Callable[..., None]


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """A folder for plugins."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    return folder


@pytest.fixture(params=["ordinary", "accelerated", "accelerated, one of several"])
def run(store: Path, plugins: Path, request: pytest.FixtureRequest) -> Run:
    """Run a test of a way to serve one model."""
    if not any(store.iterdir()):
        write_version(store, "m", 1, linear_model_bytes(weights=[1.0, 2.0]))

    def start(test: Test, **more: Any) -> None:
        async def main() -> None:
            async with AsyncExitStack() as stack:
                ordinary, accelerated = await open_ways(stack, store, plugins, **more)
                way = ordinary if request.param == "ordinary" else accelerated
                way.is_alone = "several" not in request.param
                await test(way)

        uvloop.run(main())

    return start


async def ask(connection: tuple[Any, Any, Any], question: bytes = QUESTION) -> bytes:
    """What comes back at once, or when everything has settled."""
    protocol, transport, state = connection
    transport.written.clear()
    protocol.data_received(question)
    await settle(state)
    return bytes(transport.written)


def test_what_a_plugin_leaves_in_its_context_stays_in_its_request(run: Run, plugins: Path) -> None:
    (plugins / "leaks.py").write_text(LEAKS)

    async def test(way: Way) -> None:
        connection = way.connect()
        answers = [await ask(connection) for _ in range(5)]
        assert all(b"x-left: None\r\n" in answer for answer in answers)

    run(test)


def test_requests_that_wait_in_line_begin_without_what_the_one_before_left(
    store: Path, run: Run, plugins: Path
) -> None:
    (plugins / "leaks.py").write_text(LEAKS)
    write_version(store, "slow", 1, slow_model_bytes(512, 8))

    async def test(way: Way) -> None:
        connection = way.connect()
        for _ in range(2):
            assert b"x-left: None\r\n" in await ask(connection, SLOW_QUESTION)
        assert (await ask(connection, SLOW_QUESTION * 3)).count(b"x-left: None\r\n") == 3

    run(test)


def test_a_guard_that_a_plugin_puts_before_the_routes_is_never_passed(run: Run, plugins: Path) -> None:
    (plugins / "guarded.py").write_text(GUARDED)

    async def test(way: Way) -> None:
        connection = way.connect()
        with_key = QUESTION.replace(b"Host: x", b"Host: x\r\nX-Key: yes")
        asked = [QUESTION, with_key, with_key, with_key, QUESTION, QUESTION, QUESTION]
        statuses = [(await ask(connection, question))[9:12] for question in asked]
        assert statuses == [b"403", b"200", b"200", b"200", b"403", b"403", b"403"]

    run(test)


@pytest.mark.parametrize(
    ("how", "status"), [(b"surrogate", b"403"), (b"exit", b"500"), (b"list", b"200"), (b"break", b"500")]
)
def test_what_goes_wrong_with_one_is_no_matter_for_the_others(
    run: Run, plugins: Path, how: bytes, status: bytes
) -> None:
    (plugins / "fails.py").write_text(FAILS)

    async def test(way: Way) -> None:
        connections = [way.connect() for _ in range(20)]
        for connection in connections:
            for _ in range(3):
                assert (await ask(connection)).startswith(b"HTTP/1.1 200")
            connection[1].written.clear()
        failing = QUESTION.replace(b"Host: x", b"Host: x\r\nX-Fail: " + how)
        for number, (protocol, _, _) in enumerate(connections):
            protocol.data_received(failing if number == 5 else QUESTION)
        for number, (_, transport, state) in enumerate(connections):
            await settle(state)
            if number != 5:
                assert transport.written.startswith(b"HTTP/1.1 200")
            elif how != b"break" or way.accelerated:
                assert transport.written[9:12] == status
            assert b"x-evil" not in transport.written
        assert way.app.adapter.core.in_flight == 0

    run(test)


def test_what_a_plugin_sets_before_a_run_it_can_reset_after_it(run: Run, store: Path, plugins: Path) -> None:
    (plugins / "resets.py").write_text(RESETS)
    write_version(store, "slow", 1, slow_model_bytes(512, 24))

    async def test(way: Way) -> None:
        connection = way.connect()
        for _ in range(4):
            assert (await ask(connection, SLOW_QUESTION)).startswith(b"HTTP/1.1 200")

    run(test)


def test_an_idle_connection_keeps_nothing_of_its_last_request(store: Path, plugins: Path) -> None:
    write_version(store, "m", 1, linear_model_bytes(weights=[1.0, 2.0]))

    async def main() -> None:
        async with AsyncExitStack() as stack:
            _, accelerated = await open_ways(stack, store, plugins)
            connection = accelerated.connect()
            bodies = [BODY + b" " * (1000 + space) for space in range(4)]  # another head each time
            for body in bodies:
                await ask(connection, question_of(body))
            kept = str(connection[0].__dict__)
            assert not any(body.decode() in kept for body in bodies)

    uvloop.run(main())


def test_a_plugin_s_header_that_no_answer_can_hold_is_left_out(run: Run, plugins: Path) -> None:
    (plugins / "odd.py").write_text(ODD)

    async def test(way: Way) -> None:
        connection = way.connect()
        for _ in range(4):
            answer = await ask(connection)
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"x-even: a\r\n" in answer
            assert b"x-odd" not in answer

    run(test)


@pytest.mark.parametrize("source", [WATCHES, HOOKS], ids=["middleware", "hook"])
def test_who_is_to_see_every_request_sees_them(run: Run, plugins: Path, source: str) -> None:
    name = "watches" if source == WATCHES else "hooks"
    (plugins / f"{name}.py").write_text(source)

    async def test(way: Way) -> None:
        connection = way.connect()
        answers = [await ask(connection) for _ in range(5)]
        assert all(
            answer.startswith(b"HTTP/1.1 200") and b"x-watched: yes\r\n" in answer for answer in answers
        )

    run(test)


def test_a_hook_that_comes_later_sees_the_requests_after_it(run: Run) -> None:
    seen: list[str] = []

    async def look(message: Any, scope: Any) -> None:
        del scope
        seen.append(message["type"])

    async def test(way: Way) -> None:
        connection = way.connect()
        for _ in range(4):
            await ask(connection)
        way.app.before_send.append(look)
        await ask(connection)
        assert seen == ["http.response.start", "http.response.body"]

    run(test)


def test_a_connection_that_nobody_uses_is_closed_and_one_in_use_is_not(run: Run) -> None:
    async def test(way: Way) -> None:
        connection = way.connect()
        loop = asyncio.get_running_loop()
        began = loop.time()
        while loop.time() < began + 1.5:
            assert (await ask(connection)).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.1)
        assert not connection[1].closing
        await asyncio.sleep(1.5)
        assert connection[1].closing

    run(test, keep_alive_s=0.75)


def test_a_request_that_comes_in_part_is_waited_for_however_long_that_takes(run: Run) -> None:
    async def test(way: Way) -> None:
        connection = way.connect()
        for _ in range(4):
            await ask(connection)
        assert await ask(connection, QUESTION[:40]) == b""
        await asyncio.sleep(0.6)
        assert not connection[1].closing
        assert (await ask(connection, QUESTION[40:])).startswith(b"HTTP/1.1 200")

    run(test, keep_alive_s=0.2)


def test_an_answer_waits_until_the_client_reads(run: Run) -> None:
    async def test(way: Way) -> None:
        connection = way.connect()
        for _ in range(4):
            await ask(connection)
        protocol, transport, _ = connection
        protocol.pause_writing()
        transport.written.clear()
        protocol.data_received(QUESTION)
        await asyncio.sleep(0.05)
        assert transport.written == b""
        protocol.resume_writing()
        await asyncio.sleep(0.05)
        assert transport.written.startswith(b"HTTP/1.1 200")

    run(test)


def test_at_the_end_an_answer_closes_its_connection(run: Run) -> None:
    async def test(way: Way) -> None:
        connection = way.connect()
        for _ in range(4):
            assert b"connection: close" not in await ask(connection)
        way.lifecycle.close()
        assert b"connection: close\r\n" in await ask(connection)
        assert connection[1].closing

    run(test)


def test_a_connection_is_let_go_at_the_end_where_nothing_goes_on(run: Run) -> None:
    async def test(way: Way) -> None:
        connection = way.connect()
        for _ in range(4):
            await ask(connection)
        connection[0].shutdown()
        assert connection[1].closing

    run(test)


async def warm(way: Way) -> tuple[Any, Any, Any]:
    """A connection on which the question was asked before."""
    connection = way.connect()
    for _ in range(4):
        assert (await ask(connection)).startswith(b"HTTP/1.1 200")
    connection[1].written.clear()
    return connection


def test_what_was_asked_is_answered_when_the_end_begins(run: Run) -> None:
    async def test(way: Way) -> None:
        protocol, transport, state = await warm(way)
        protocol.data_received(QUESTION)
        way.lifecycle.close()
        protocol.shutdown()
        await settle(state)
        assert transport.written.startswith(b"HTTP/1.1 200")
        assert transport.closing

    run(test)


def test_a_new_connection_is_answered_after_the_end_began_where_others_asked_the_same_before(
    run: Run,
) -> None:
    """The head of the very first request of a connection can be known: no parser has read anything of it."""

    async def test(way: Way) -> None:
        await warm(way)
        way.lifecycle.close()
        connections = [way.connect() for _ in range(2)]
        for protocol, _, _ in connections:
            protocol.data_received(QUESTION)
        for _, transport, state in connections:
            await settle(state)
            assert transport.written.startswith(b"HTTP/1.1 200")
            assert b"connection: close\r\n" in transport.written
            assert transport.closing

    run(test)


def test_a_new_connection_is_closed_by_a_failure_where_others_asked_the_same_before(
    plugins: Path, run: Run
) -> None:
    (plugins / "spoils.py").write_text(SPOILS_SOME)

    async def test(way: Way) -> None:
        connection = way.connect()
        for _ in range(4):
            assert (await ask(connection, question_of(b'{"instances": [[1, 2]]}'))).startswith(
                b"HTTP/1.1 200"
            )
        for _ in range(2):
            connection = way.connect()
            assert b"200" not in await ask(connection, question_of(b'{"instances": [[6, 6]]}'))
            assert connection[1].closing

    run(test)


def test_two_reads_in_one_turn_of_the_loop_are_answered_in_order(run: Run) -> None:
    async def test(way: Way) -> None:
        protocol, transport, state = await warm(way)
        for number in (b"one", b"two"):
            protocol.data_received(QUESTION.replace(b"Host: x", b"Host: x\r\nX-Request-ID: " + number))
        await settle(state)
        assert transport.written.count(b"HTTP/1.1 200") == 2
        assert transport.written.index(b"x-request-id: one") < transport.written.index(b"x-request-id: two")

    run(test)


def test_connections_of_one_turn_get_their_own_answers(run: Run) -> None:
    async def test(way: Way) -> None:
        connections = [await warm(way) for _ in range(40)]
        for number, (protocol, _, _) in enumerate(connections):
            protocol.data_received(question_of(b'{"instances": [[%d, 0]]}' % number))
        for number, (_, transport, state) in enumerate(connections):
            await settle(state)
            assert b'"predictions":[%d.0]' % number in transport.written

    run(test)


def test_those_that_share_a_run_go_through_plugins_each_for_itself(
    run: Run, store: Path, plugins: Path
) -> None:
    (plugins / "marks.py").write_text(MARKS)
    write_version(store, "scaled", 1, scaled_bytes())

    async def together(connections: list[tuple[Any, Any, Any]]) -> int:
        """How many of those who ask at once were answered in a run of 16; each has its own answer and its own mark."""
        for number, (protocol, transport, _) in enumerate(connections):
            transport.written.clear()
            protocol.data_received(question_of(b'{"instances": [[%d, 0]]}' % number, "scaled"))
        shared = 0
        for number, (_, transport, state) in enumerate(connections):
            await settle(state)
            assert b'"predictions":[[%d.0,' % number in transport.written
            assert b"x-mark: %d.0\r\n" % number in transport.written
            shared += b"x-together: 16\r\n" in transport.written
        return shared

    async def test(way: Way) -> None:
        connections = [way.connect() for _ in range(40)]
        for connection in connections:
            for _ in range(3):
                await ask(connection, question_of(BODY, "scaled"))
        # Fewer go together after a run that took long, as any does when the machine does something else meanwhile.
        shared = [await together(connections) for _ in range(10)]
        is_answered_at_once = way.accelerated and way.is_alone
        assert max(shared) >= 16 or is_answered_at_once

    run(test)
    assert not (plugins / "failed").exists()


def test_who_is_gone_before_the_answer_is_no_trouble(run: Run) -> None:
    async def test(way: Way) -> None:
        protocol, _, state = await warm(way)
        protocol.data_received(QUESTION)
        protocol.connection_lost(None)
        await settle(state)
        await asyncio.sleep(0)
        assert way.app.adapter.core.in_flight == 0

    run(test)


def test_a_client_that_goes_away_gives_its_place_up(store: Path, plugins: Path, run: Run) -> None:
    write_version(store, "slow", 1, slow_model_bytes(512, 96))

    async def test(way: Way) -> None:
        core = way.app.adapter.core
        for _ in range(4):
            protocol, transport, _ = way.connect()
            protocol.data_received(SLOW_QUESTION)
            await asyncio.sleep(0.005)
            assert core.in_flight == 1
            assert transport.written == b""
            protocol.connection_lost(None)
            while core.in_flight:  # noqa: ASYNC110 - nobody sets an event
                await asyncio.sleep(0.001)
            assert transport.written == b""

    run(test)


def test_a_client_that_goes_away_before_its_request_begins_gives_its_place_up(store: Path, run: Run) -> None:
    write_version(store, "slow", 1, slow_model_bytes(512, 96))

    async def test(way: Way) -> None:
        core = way.app.adapter.core
        for number in range(4):
            protocol, transport, state = way.connect()
            protocol.data_received(SLOW_QUESTION)
            if not number:  # in the ordinary way, so that the next are known
                await settle(state)
                assert transport.written.startswith(b"HTTP/1.1 200")
                transport.written.clear()
            protocol.connection_lost(None)
            transport.closing = True
            await asyncio.sleep(0.02)  # a tenth of the run's time
            assert core.in_flight == 0

    run(test)


async def ask_slow(way: Way) -> tuple[Any, Any, Any]:
    """A connection on which a prediction was asked that waits, after one that was answered."""
    connection = way.connect()
    assert (await ask(connection, SLOW_QUESTION)).startswith(b"HTTP/1.1 200")
    connection[1].written.clear()
    connection[0].data_received(SLOW_QUESTION)
    await asyncio.sleep(0.01)
    assert not connection[1].written
    return connection


def test_an_answer_that_was_waited_for_waits_until_the_client_reads(store: Path, run: Run) -> None:
    """And what has come of the next request meanwhile is not lost."""
    write_version(store, "slow", 1, slow_model_bytes(512, 16))

    async def test(way: Way) -> None:
        protocol, transport, state = await ask_slow(way)
        protocol.pause_writing()
        protocol.data_received(QUESTION[:60])
        while way.app.adapter.core.in_flight:  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        assert transport.written == b""
        protocol.resume_writing()
        await settle(state)
        assert transport.written.count(b"HTTP/1.1 200") == 1
        assert transport.reading
        assert (await ask((protocol, transport, state), QUESTION[60:])).startswith(b"HTTP/1.1 200")

    run(test)


def test_requests_behind_one_that_waits_are_answered_after_it(store: Path, run: Run) -> None:
    write_version(store, "slow", 1, slow_model_bytes(512, 16))

    async def test(way: Way) -> None:
        protocol, transport, state = await ask_slow(way)
        protocol.data_received(QUESTION)
        assert not transport.reading
        await settle(state)
        assert transport.written.count(b"HTTP/1.1 200") == 2
        assert transport.written.index(b"x-model-name: slow") < transport.written.index(b"x-model-name: m")
        assert transport.reading
        assert (await ask((protocol, transport, state), QUESTION)).startswith(b"HTTP/1.1 200")
        assert state.total_requests == 4

    run(test)


def test_what_waits_when_the_end_begins_is_answered_and_closes_its_connection(store: Path, run: Run) -> None:
    write_version(store, "slow", 1, slow_model_bytes(512, 16))

    async def test(way: Way) -> None:
        protocol, transport, state = await ask_slow(way)
        way.lifecycle.close()
        protocol.shutdown()
        assert not transport.closing
        await settle(state)
        assert transport.written.startswith(b"HTTP/1.1 200")
        assert b"connection: close\r\n" in transport.written
        assert transport.closing

    run(test)


def test_what_a_plugin_does_for_a_client_that_left_is_not_ended_as_well(plugins: Path, run: Run) -> None:
    (plugins / "cleans.py").write_text(CLEANS)

    async def test(way: Way) -> None:
        connection = way.connect()
        assert (await ask(connection)).startswith(b"HTTP/1.1 200")
        for _ in range(2):  # the second is known
            protocol, _, state = way.connect()
            protocol.data_received(QUESTION.replace(b"Host: x", b"Host: x\r\nX-Wait: 1"))
            await asyncio.sleep(0.01)
            protocol.connection_lost(None)
            await settle(state)
            await asyncio.sleep(0.05)
        assert (plugins / "cleaned").read_text() == "cleaned cleaned "
        assert way.app.adapter.core.in_flight == 0

    run(test)


def test_an_answer_that_was_waited_for_and_cannot_be_written_is_a_failure(
    plugins: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    (plugins / "spoils.py").write_text(SPOILS)

    async def test(way: Way) -> None:
        for _ in range(3):
            connection = way.connect()
            assert b"evil" not in await ask(connection)
            assert connection[1].closing

    run(test)
    assert caplog.text.count("Exception in ASGI application") == 3


def test_an_answer_that_cannot_be_written_is_observed(plugins: Path, run: Run) -> None:
    (plugins / "spoils.py").write_text(SPOILS)
    (plugins / "spoils_some.py").write_text(SPOILS_SOME)
    seen: list[str] = []

    async def test(way: Way) -> None:
        observers = way.app.adapter.core._observers
        observers.take(
            [Observer("test", lambda records: seen.extend(each.request_id for each in records), 1e6)]
        )
        for _ in range(3):
            await ask(way.connect())
        observers.flush()

    run(test)
    assert seen == ["a\r\nx-evil: 1"] * 3


def test_a_connection_that_waits_is_not_idle(store: Path, run: Run) -> None:
    """Though the request before it was answered in the same turn of the event loop, as it came."""
    write_version(store, "slow", 1, slow_model_bytes(512, 64))

    async def test(way: Way) -> None:
        protocol, transport, state = way.connect()
        for question in (QUESTION, QUESTION, QUESTION, SLOW_QUESTION, SLOW_QUESTION, SLOW_QUESTION):
            await ask((protocol, transport, state), question)
        transport.written.clear()
        protocol.data_received(QUESTION)
        protocol.data_received(SLOW_QUESTION)
        await asyncio.sleep(0.1)
        assert not transport.closing
        await settle(state)
        assert transport.written.count(b"HTTP/1.1 200") == 2

    run(test, keep_alive_s=0.02)


def test_the_ways_differ_in_nothing_but_their_protocol(store: Path, plugins: Path) -> None:
    """What the tests above compare is two ways indeed."""
    write_version(store, "m", 1, linear_model_bytes(weights=[1.0, 2.0]))

    async def main() -> None:
        async with AsyncExitStack() as stack:
            ordinary, accelerated = await open_ways(stack, store, plugins)
            kinds = [type(way.connect()[0]).__name__ for way in (ordinary, accelerated)]
            assert kinds == ["Connection", "AcceleratedProtocol"]
            assert isinstance(accelerated.lifecycle, Lifecycle)

    uvloop.run(main())
