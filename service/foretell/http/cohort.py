"""Predictions that came in the same turn of the event loop, answered together, step by step.

First all of them are decoded, then all of them run, then all answers are written, then sent. The code of each step, the
kernel's and ONNX Runtime's above all, stays in the processor's caches for the whole of them: a small model's run, which
takes 12 µs in a loop of nothing else, takes 60 between the other steps of one request.
"""

from __future__ import annotations

import time
from contextvars import Context
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from foretell.http.answer import Answer
from foretell.http.shared_run import run_together

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable

    from foretell.http.core import Core
    from foretell.http.going import Going
    from foretell.http.head import Head
    from foretell.http.routes import Route

__all__ = ["MOST", "MOST_BYTES", "Asked", "Asker", "Cohort"]

MOST: Final = 16
MOST_BYTES: Final = 16 * 1024
"""Longer bodies are answered at once: what they take is not in the changes between steps."""

_PATIENCE_NS: Final = 500_000
"""How long the first waits for the runs of the others, ns."""


class Asked(msgspec.Struct):
    """A prediction that was asked.

    Attributes:
        asker: Who asks, and is answered.
        route: What is asked.
        head: The request's head.
        body: Its body.
        context: The context of its own that it is answered in, as a task would have one.
    """

    asker: Asker
    route: Route
    head: Head
    body: bytes
    context: Context


class Asker(Protocol):
    """Who asks for a prediction."""

    def still_asks(self, asked: Asked) -> bool:
        """Whether a prediction is to be answered here, which has not begun; if not, the asker has seen to it."""
        ...

    def write(self, answer: Answer) -> bytes:
        """An answer as it is sent."""
        ...

    def send(self, answer: Answer, written: bytes) -> None:
        """Send an answer, and have its record observed."""
        ...

    def wait(self, asked: Asked, answer: Awaitable[Answer]) -> None:
        """Send an answer when it is there."""
        ...

    def fail(self, asked: Asked, error: BaseException) -> None:
        """Answer as a server does whose application has failed."""
        ...


class Cohort:
    """The predictions that wait for the end of this turn of the event loop.

    Args:
        core: What answers.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._waiting: list[Asked] = []

    def add(self, asked: Asked, loop: asyncio.AbstractEventLoop) -> None:
        """Answer a prediction with the others that come in this turn of the event loop."""
        if len(asked.body) > MOST_BYTES:
            self.answer(asked)
            return
        if not self._waiting:
            loop.call_soon(self.flush)
        self._waiting.append(asked)

    def answer(self, asked: Asked) -> None:
        """Answer a prediction now."""
        self._answer([asked])

    def flush(self) -> None:
        """Answer those that wait."""
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), MOST):
            self._answer(waiting[first : first + MOST])

    def _answer(self, cohort: list[Asked]) -> None:
        """Answer some; what goes wrong with one is no matter for those beside it."""
        core = self._core
        begun: list[tuple[Asked, Going]] = []
        for asked in cohort:
            try:
                if not asked.asker.still_asks(asked):
                    continue
                going = asked.context.run(core.begin, asked.route, asked.head, asked.body)
            except BaseException as error:  # noqa: BLE001 - as uvicorn does around each application
                asked.asker.fail(asked, error)
            else:
                begun.append((asked, going))
        if len(begun) > 1:
            run_together([going for _, going in begun])
        began_ns = time.perf_counter_ns()
        ready: list[tuple[Asked, Going]] = []
        for asked, going in begun:
            try:
                asked.context.run(core.run, going)
            except BaseException as error:  # noqa: BLE001 - see above
                asked.asker.fail(asked, error)
            else:
                ready.append((asked, going))
            if time.perf_counter_ns() - began_ns > _PATIENCE_NS:
                self._send(ready)
                ready = []
                began_ns = time.perf_counter_ns()
        self._send(ready)

    def _send(self, ready: list[tuple[Asked, Going]]) -> None:
        core = self._core
        written: list[tuple[Asked, Answer | Awaitable[Answer], bytes]] = []
        for asked, going in ready:
            answer: Answer | Awaitable[Answer] | None = None
            try:
                answer = core.end(going)
                message = asked.asker.write(answer) if isinstance(answer, Answer) else b""
            except BaseException as error:  # noqa: BLE001 - see above
                asked.asker.fail(asked, error)
                if isinstance(answer, Answer):  # it was there, and could not be written
                    core.observe(answer.record)
            else:
                written.append((asked, answer, message))
        for asked, answer, message in written:
            try:
                if isinstance(answer, Answer):
                    asked.asker.send(answer, message)
                else:
                    asked.asker.wait(asked, answer)
            except BaseException as error:  # noqa: BLE001 - see above
                asked.asker.fail(asked, error)
