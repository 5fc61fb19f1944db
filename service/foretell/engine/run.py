"""One run of a version, for one request or for several at once."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from foretell.engine.joint_run import run_jointly, spans_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.engine.lane import Lane
    from foretell.engine.session import Session
    from foretell.parser import Tensors
    from foretell.prediction import PredictRequest

__all__ = ["Run", "Ticket"]

_Form = tuple[object, ...]


class Ticket:
    """One request that waits for its run, or for the end of it.

    Args:
        request: The request.
        entered_ns: When it began to wait, ns.
        loop: The event loop of whoever waits.

    Attributes:
        future: Resolved with the outputs.
        run: The run that it is part of; None while it waits for one.
        gone: Whether nobody waits for it any more.
    """

    __slots__ = ("entered_ns", "future", "gone", "loop", "request", "run")

    def __init__(self, request: PredictRequest, entered_ns: int, loop: asyncio.AbstractEventLoop) -> None:
        self.request = request
        self.entered_ns = entered_ns
        self.loop = loop
        self.future: asyncio.Future[Tensors] = loop.create_future()
        self.run: Run | None = None
        self.gone = False

    def form(self) -> _Form:
        """What requests that share a run must have in common: outputs, and all of the inputs but rows and values."""
        request = self.request
        inputs = [(name, array.dtype, array.shape[1:]) for name, array in request.inputs.items()]
        return (self.loop, request.outputs, *inputs)


class _Part(NamedTuple):
    """What became of one request."""

    ticket: Ticket
    outcome: Any
    started_ns: int
    ended_ns: int
    run_rows: int
    together: int


class Run:
    """One run of a version.

    Args:
        lane: Where its requests waited.
        session: The graph.
        tickets: Its requests. Several have the same form, and rows on the first axis of everything.
        expected_ns: How long it is expected to take, ns.
        started_ns: When it begins, ns.

    Attributes:
        rows: How many rows it has.
        together: How many requests share it.
        ended_ns: When it was done, ns.
        lent: Whether another thread has taken the place of the one that it occupies.
    """

    def __init__(
        self, lane: Lane, session: Session, tickets: Sequence[Ticket], *, expected_ns: int, started_ns: int
    ) -> None:
        self.lane = lane
        self.tickets: Sequence[Ticket] = tickets
        self.together = len(tickets)
        self.rows = sum(ticket.request.rows for ticket in tickets)
        self.expected_ns = expected_ns
        self.started_ns = started_ns
        self.ended_ns = started_ns
        self.lent = False
        self._session = session
        self._options: Any = None
        self._given_up = False
        self._parts: list[_Part] = []
        self._delivered = threading.Event() if self.together > 1 else None

    def give_up_if_alone(self) -> None:
        """End the run, if nobody waits for it any more. Thread-safe; it ends between two operators of the graph."""
        if all(ticket.gone for ticket in self.tickets):
            self._given_up = True
            if self._options is not None:
                self._options.terminate = True

    def execute(self) -> None:
        """Run it; whatever happens becomes the outcome of its requests."""
        self._options = self._session.new_options()
        self._try(self.tickets)
        self.ended_ns = time.perf_counter_ns()

    def hand_back(self) -> None:
        """Give those who wait their outputs, on their event loop."""
        with suppress(RuntimeError):  # it is closed: nobody waits
            self.tickets[0].loop.call_soon_threadsafe(self._resolve)

    def wait_until_delivered(self, most_s: float) -> None:
        """Where several have shared it, wait until they have their outputs and have taken a step; but not for long."""
        if self._delivered is not None:
            self._delivered.wait(most_s)

    def _try(self, tickets: Sequence[Ticket]) -> None:
        """Run some of the requests together; where that fails, half of them at a time, until it is clear which fail."""
        alive = [ticket for ticket in tickets if not ticket.gone]
        if not alive or self._given_up:
            return
        started_ns = time.perf_counter_ns()
        outcomes: Sequence[Tensors | Exception] | None
        try:
            outcomes = self._outputs(alive)
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is waited for
            outcomes = [error] if len(alive) == 1 else None
        if outcomes is None:
            middle = len(alive) // 2
            self._try(alive[:middle])
            self._try(alive[middle:])
            return
        ended_ns = time.perf_counter_ns()
        rows = sum(ticket.request.rows for ticket in alive)
        for ticket, outcome in zip(alive, outcomes, strict=True):
            self._parts.append(_Part(ticket, outcome, started_ns, ended_ns, rows, len(alive)))
            rows = 0  # the first of them counts the run

    def _outputs(self, tickets: Sequence[Ticket]) -> Sequence[Tensors]:
        requests = [ticket.request for ticket in tickets]
        if len(requests) == 1:
            return [self._session.run(requests[0].inputs, requests[0].outputs, self._options)]
        return run_jointly(self._session, requests, self._options)

    def _resolve(self) -> None:
        traced = spans_of(ticket.request.record for ticket in self.tickets) if len(self.tickets) > 1 else []
        for part in self._parts:
            ticket = part.ticket
            if ticket.future.done():
                continue
            record = ticket.request.record
            if traced and part.together > 1:
                record.companions = tuple(span for span in traced if span[1] != record.span_id)
            record.run_started_ns = part.started_ns
            record.run_ended_ns = part.ended_ns
            record.run_rows = part.run_rows
            record.together = part.together
            if isinstance(part.outcome, Exception):
                ticket.future.set_exception(part.outcome)
            else:
                ticket.future.set_result(part.outcome)
        # Each knows the other, and the thread knows its last run: that would keep what was asked and answered.
        for ticket in self.tickets:
            ticket.run = None
        if self._delivered is not None:
            self.tickets[0].loop.call_soon(self._delivered.set)  # after those who were woken
        self.tickets = ()
        self._parts = []
