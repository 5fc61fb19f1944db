"""Locust's users: one that lets questions arrive at a rate, and one for each protocol that asks when it has its answer.

The first is an open model: a question is asked when it is due, whether those before it are answered or not, and its latency
counts from when it was due. So neither a slow server nor a slow load generator hides a wait (no coordinated omission).
"""

from __future__ import annotations

import math
import random
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import gevent
from gevent.monkey import get_original
from gevent.pool import Pool
from locust import User, constant, task
from locust.exception import StopUser

from foretell.loadtest.check import complaint
from foretell.loadtest.connections import Connections

if TYPE_CHECKING:
    from locust.env import Environment

    from foretell.loadtest.plan import Plan
    from foretell.loadtest.question import Question
    from foretell.loadtest.record import Record

__all__ = [
    "ArrivingUser",
    "AskingUser",
    "BadAnswerError",
    "BatchUser",
    "InvocationsUser",
    "NativeUser",
    "RecordsUser",
    "SimpleUser",
    "V2BinaryUser",
    "V2User",
    "begin",
]

_sleep: Final = get_original("time", "sleep")
_MOST_OUTSTANDING: Final = 2000
_SHORT_S: Final = 0.0002
"""A pause that is no longer is none: what is due is asked so much too early."""
_AWAY_S: Final = 0.0001
"""How long gevent goes on with greenlets that are ready before it looks at sockets again: Python's switch interval, 5 ms."""
_LATE: Final = 32
"""How many questions that are late are sent before those that wait for answers get their turn."""


class BadAnswerError(Exception):
    """A question was refused, or answered wrongly."""


class _Asker(User):
    """What both kinds of users have in common.

    Attributes:
        plan: What is asked; set before the first of them is made.
        record: What came of it.
    """

    abstract = True
    plan: ClassVar[Plan]
    record: ClassVar[Record]

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._connections = Connections.to(environment.host or "", self.plan.timeout_s)
        self._chance = random.Random()  # noqa: S311 - no secret
        self._ends = math.inf

    def _ask(self, question: Question, due: float) -> None:
        """Ask, and keep what came of it."""
        error: Exception | None
        status, body = 0, b""
        try:
            status, body = self._connections.ask(question.request)
        except OSError as failure:
            error = failure
        else:
            error = _judged(question, status, body)
        took_s = time.perf_counter() - due
        in_time = due + took_s <= self._ends
        self.record.add(question, time.time(), took_s, status, error, in_time=in_time)
        events = cast("Any", self.environment).events
        events.request.fire(
            request_type=question.protocol,
            name=f"{question.model}, {question.rows} row{'s' * (question.rows != 1)}",
            response_time=took_s * 1000,
            response_length=len(body),
            exception=error,
            context={},
        )

    def _draw(self, questions: list[Question]) -> Question:
        """One of the few that come again and again, or any."""
        if self._chance.random() < self.plan.repeats:
            return questions[int(self._chance.random() * min(self.plan.popular, len(questions)))]
        return self._chance.choice(questions)

    def on_stop(self) -> None:
        """Leave the server."""
        self.record.resent += self._connections.resent
        self._connections.close()


class ArrivingUser(_Asker):
    """Questions of all kinds, at the rate of the plan. One for each process is enough."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._stopped = math.inf

    def stop(self, force: bool = False) -> bool:  # noqa: FBT001, FBT002 - Locust's signature
        """Let no more arrive; what was due until now is still asked."""
        self._stopped = time.perf_counter()
        return bool(super().stop(force))

    @task
    def arrive(self) -> None:
        """Let questions arrive until the plan is over."""
        plan = self.plan
        outstanding = Pool(_MOST_OUTSTANDING)
        began = due = time.perf_counter()
        late = 0
        self._ends = began + plan.duration_s
        while due < self._stopped and (per_s := plan.rate_at(due - began)) is not None:
            question = self._draw(self._chance.choice(plan.questions))
            late = 0 if _wait_until(due) else late + 1
            if late % _LATE == _LATE - 1:
                gevent.sleep(0)
            # Where too many are outstanding it waits: what is due stays due.
            outstanding.spawn(self._ask, question, due)
            due += self._chance.expovariate(per_s * plan.share)
        self.record.took_s = max(self.record.took_s, min(due - began, plan.duration_s))
        outstanding.join()
        raise StopUser


class AskingUser(_Asker):
    """Asks in one form, and again when it has its answer.

    Attributes:
        form: One of `FORMS`.
    """

    abstract = True
    form: ClassVar[str]
    wait_time = constant(0)

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._kinds = [each for each in self.plan.questions if each[0].protocol == self.form]

    @task
    def ask(self) -> None:
        """Ask once."""
        if not self._kinds:
            raise StopUser
        self._ask(self._draw(self._chance.choice(self._kinds)), time.perf_counter())


def _judged(question: Question, status: int, body: bytes) -> BadAnswerError | None:
    if status != 200:
        return BadAnswerError(f"status {status}: {body[:200]!r}")
    wrong = complaint(body, question.expected)
    return None if wrong is None else BadAnswerError(wrong)


def _wait_until(due: float) -> bool:
    """Let others go on until a time; whether it was still to come.

    A thread sleeps: gevent's own timers are up to a millisecond late, which would count as latency, and to look at the clock
    all the time would take a CPU that the server may need.
    """
    pause = due - time.perf_counter()
    if pause <= 0:
        return False
    if pause > _SHORT_S:
        gevent.get_hub().threadpool.apply(_sleep, (pause,))
    else:
        gevent.sleep(0)
    return True


def begin(plan: Plan, record: Record) -> None:
    """Say what users are to ask, and where they are to keep what came of it."""
    _Asker.plan, _Asker.record = plan, record
    sys.setswitchinterval(_AWAY_S)


class NativeUser(AskingUser):
    """Rows."""

    form = "native"


class RecordsUser(AskingUser):
    """Records by column."""

    form = "records"


class SimpleUser(AskingUser):
    """One row, for the default model."""

    form = "simple"


class BatchUser(AskingUser):
    """Rows, for the default model."""

    form = "batch"


class V2User(AskingUser):
    """Open Inference Protocol."""

    form = "v2"


class V2BinaryUser(AskingUser):
    """Open Inference Protocol, with binary data."""

    form = "v2-binary"


class InvocationsUser(AskingUser):
    """MLflow's and SageMaker's way."""

    form = "invocations"
