"""Tasks that predict in step: each gets its own answer, whoever leaves at whatever step."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from foretell.app import create_app
from foretell.engine import version
from foretell.http import pace
from foretell.http.answer import Answer
from foretell.http.application import Application
from foretell.http.cohort import MOST
from foretell.http.core import Core
from foretell.http.going import Going
from foretell.http.head import Head
from foretell.http.pace import Pace
from foretell.http.routes import PREDICT, Route
from foretell.settings import Settings
from tests.http.test_asgi import COUNTER
from tests.models import scaled_bytes, write_version

Test = Callable[[Core], Coroutine[Any, Any, None]]
Run = Callable[[Test], list[str]]

MARKS = """
from pathlib import Path
from foretell.plugin import Plugin, Shortcut, Stage

class Marking(Shortcut):
    def begin(self, request):
        number = int(next(iter(request.inputs.values()))[0, 0])
        tell(f"begin:{number}")
        return str(number)

    def end(self, request, begun, response):
        tell(f"end:{begun}")

    def failed(self, request, begun, error):
        tell(f"{type(error).__name__}:{begun}")
        return False

def tell(what):
    with (Path(__file__).parent / "heard").open("a") as file:
        file.write(what + "\\n")

class Marks(Plugin):
    stage = Stage.GUARD

    def wrap_predict(self, call_next, model):
        return Marking()
"""

ROUTE = Route("/v1/models/m:predict", "native", verb=PREDICT, model="m")
HEAD = Head.of([(b"content-type", b"application/json")])


@pytest.fixture
def run(store: Path, tmp_path: Path) -> Run:
    """Runs a test with the core of an application that serves x and 2·y; gives the statuses that observers were handed."""
    write_version(store, "m", 1, scaled_bytes())
    seen = tmp_path / "seen"
    seen.touch()
    (tmp_path / "counter.py").write_text(COUNTER.format(seen=seen))
    settings: dict[str, Any] = {
        "store": {"path": str(store)},
        "log": {"level": "error"},
        "plugins": {"enabled": ["counter"], "folder": str(tmp_path)},
    }

    def run_test(test: Test) -> list[str]:
        settings["plugins"]["enabled"] = [path.stem for path in tmp_path.glob("*.py")]

        async def main() -> None:
            app = create_app(msgspec.convert(settings, Settings))
            assert isinstance(app, Application)
            async with app.lifespan():
                await test(app.adapter.core)
                assert app.adapter.core.in_flight == 0

        asyncio.run(main())
        return seen.read_text().split()

    return run_test


def body_of(number: int) -> bytes:
    return b'{"instances": [[%d, 0]]}' % number


async def ask(core: Core, in_step: Pace, body: bytes) -> Answer:
    """As an adapter does."""
    answer = await in_step.predict(ROUTE, HEAD, body)
    assert isinstance(answer, Answer)
    core.observe(answer.record)
    return answer


async def ask_and_leave(core: Core, turns: int) -> list[Answer | BaseException]:
    """What nine get who ask at once, of whom every third leaves after some turns of the loop."""
    in_step = Pace(core)
    tasks = [asyncio.create_task(ask(core, in_step, body_of(number))) for number in range(9)]
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_each_gets_its_own_answer(run: Run) -> None:
    async def test(core: Core) -> None:
        in_step = Pace(core)
        bodies = [body_of(number) if number % 5 else b'{"instances": 0}' for number in range(1, 60)]
        answers = await asyncio.gather(*(ask(core, in_step, body) for body in bodies))
        for number, answer in enumerate(answers, 1):
            if number % 5:
                assert (answer.status, b'"predictions":[[%d.0,' % number in answer.body) == (200, True)
            else:
                assert answer.status == 422

    statuses = run(test)
    assert (statuses.count("200"), statuses.count("422")) == (48, 11)


@pytest.mark.parametrize("turns", range(8))
def test_who_leaves_at_any_step_leaves_nothing_behind(run: Run, turns: int) -> None:
    gone: list[int] = []

    async def test(core: Core) -> None:
        answers = await ask_and_leave(core, turns)
        for number, answer in enumerate(answers):
            if isinstance(answer, BaseException):
                gone.append(1)
                assert number % 3 == 0
                assert isinstance(answer, asyncio.CancelledError)
            else:
                assert b'"predictions":[[%d.0,' % number in answer.body
        assert core.in_flight == 0

    statuses = run(test)
    # Who leaves before the first step was never there, and who was answered before is counted as such.
    assert statuses.count("499") == (sum(gone) if turns else 0)
    assert statuses.count("200") == 9 - sum(gone)


def test_what_breaks_a_run_breaks_nobody_elses(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no `Exception` is raised, and leaves once."""
    ask_model = Core._ask

    def odd(core: Core, endpoint: Any, request: Any) -> Any:
        if next(iter(request.inputs.values()))[0, 0] == 1:
            raise asyncio.CancelledError
        return ask_model(core, endpoint, request)

    def apart(*_: object) -> None:
        """Each runs by itself."""

    monkeypatch.setattr(Core, "_ask", odd)
    monkeypatch.setattr(pace, "run_together", apart)

    async def test(core: Core) -> None:
        in_step = Pace(core)
        asked = [ask(core, in_step, body_of(number)) for number in range(3)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Answer, asyncio.CancelledError, Answer]

    run(test)


def test_those_whose_model_answers_together_as_alone_share_a_run(run: Run) -> None:
    async def test(core: Core) -> None:
        in_step = Pace(core)
        answers = await asyncio.gather(*(ask(core, in_step, body_of(number)) for number in range(5)))
        for number, answer in enumerate(answers):
            assert b'"predictions":[[%d.0,' % number in answer.body
        assert [answer.record.together for answer in answers] == [5] * 5
        assert [answer.record.run_rows for answer in answers] == [5, 0, 0, 0, 0]

    run(test)


@pytest.mark.parametrize("turns", range(8))
def test_plugins_hear_of_who_leaves_at_any_step(run: Run, tmp_path: Path, turns: int) -> None:
    """Once each, of its end or of its failure."""
    (tmp_path / "marks.py").write_text(MARKS)

    async def test(core: Core) -> None:
        answers = await ask_and_leave(core, turns)
        heard = (tmp_path / "heard").read_text().split()
        for number, answer in enumerate(answers):
            is_gone = isinstance(answer, BaseException)
            assert heard.count(f"begin:{number}") == (turns > 0 or not is_gone)
            told = heard.count(f"end:{number}"), heard.count(f"CancelledError:{number}")
            # Who leaves while its answer waits to be sent has been answered, as far as plugins go.
            assert told in ({(0, 1), (1, 0)} if is_gone and turns else {(0, 0)} if is_gone else {(1, 0)})

    run(test)


def test_a_fault_of_a_shared_run_is_answered_to_each(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OverflowError("no room")

    monkeypatch.setattr(version, "run_jointly", fails)

    async def test(core: Core) -> None:
        in_step = Pace(core)
        answers = await asyncio.gather(*(ask(core, in_step, body_of(number)) for number in range(3)))
        assert [answer.status for answer in answers] == [500] * 3
        assert (await ask(core, in_step, body_of(7))).status == 200  # alone

    run(test)


def test_they_are_decoded_then_run_then_written(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_PATIENCE_NS", 10**12)
    assert steps_of(3, run, monkeypatch) == ["bbbrrreee"]


def test_as_many_as_go_together_are_done_before_the_next_run(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "_PATIENCE_NS", 10**12)
    monkeypatch.setattr(pace, "MOST", 2)
    assert steps_of(5, run, monkeypatch) == ["bbbbbrreerreere"]


def test_where_runs_take_long_nobody_waits_for_the_others(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_PATIENCE_NS", 0)
    assert steps_of(3, run, monkeypatch, bursts=2) == ["bbbrrreee", "bbbrerere"]


def steps_of(count: int, run: Run, monkeypatch: pytest.MonkeyPatch, *, bursts: int = 1) -> list[str]:
    """The steps that some predictions take that come at once, in their order, by their first letters."""
    monkeypatch.setattr(pace, "_BUSY_NS", 10**12)  # however slow the machine is
    steps: list[str] = []
    found: list[str] = []

    def spied(name: str) -> Callable[..., Any]:
        step = getattr(Core, name)

        def spy(*arguments: Any) -> Any:
            steps.append(name[0])
            return step(*arguments)

        return spy

    for name in ("begin", "run", "end"):
        monkeypatch.setattr(Core, name, spied(name))

    async def test(core: Core) -> None:
        in_step = Pace(core)
        for _ in range(bursts):
            steps.clear()
            await asyncio.gather(*(ask(core, in_step, body_of(number)) for number in range(count)))
            found.append("".join(steps))

    run(test)
    return found


def test_a_loop_that_stops_between_two_steps_leaves_nobody_behind(run: Run) -> None:
    async def test(core: Core) -> None:
        in_step = Pace(core)

        loop = asyncio.new_event_loop()
        stranded = loop.create_task(in_step.predict(ROUTE, HEAD, body_of(1)))
        loop.call_soon(loop.stop)
        await asyncio.to_thread(loop.run_forever)
        answer = await asyncio.wait_for(ask(core, in_step, body_of(2)), 10)
        assert b'"predictions":[[2.0,' in answer.body
        stranded.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.to_thread(loop.run_until_complete, stranded)
        loop.close()

    run(test)


def test_nobody_starves_where_the_loop_is_busy_with_others(run: Run) -> None:
    async def ask_many(core: Core) -> None:
        in_step, turns = Pace(core), 0

        def others() -> None:
            nonlocal turns
            turns += 1
            time.sleep(0.01)  # what other connections' requests take
            asyncio.get_running_loop().call_soon(others)

        others()
        answers = await asyncio.gather(*(ask(core, in_step, body_of(number)) for number in range(200)))
        assert [msgspec.json.decode(answer.body)["predictions"][0][0] for answer in answers] == list(
            range(200)
        )
        assert turns < 20

    assert run(ask_many) == ["200"] * 200


def test_fewer_share_a_run_where_it_takes_long(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []

    def slowly(goings: Sequence[Going]) -> None:
        groups.append(len(goings))
        time.sleep(0.0003 * len(goings))

    monkeypatch.setattr(pace, "_BUSY_NS", 10**12)  # however slow the machine is
    monkeypatch.setattr(pace, "run_together", slowly)

    async def ask_many(core: Core) -> None:
        in_step = Pace(core)
        for _ in range(2):
            await asyncio.gather(*(ask(core, in_step, body_of(number)) for number in range(MOST)))

    run(ask_many)
    assert groups[0] == MOST
    assert max(groups[1:]) <= MOST // 2
