"""The queue of one version: who may wait, who goes together, and who waits no longer."""

from __future__ import annotations

import asyncio
import math
from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec

from foretell.engine.drain import Drain
from foretell.engine.run import Run, Ticket
from foretell.errors import DeadlineError, NotReadyError, QueueFullError

if TYPE_CHECKING:
    from foretell.engine.pool import Pool
    from foretell.engine.session import Session
    from foretell.engine.warm_up import Cost
    from foretell.parser import Tensors
    from foretell.prediction import PredictRequest

__all__ = ["Lane", "LaneRules"]

_LOOKED_AT: Final = 256
"""How many of those who wait are looked at for a run that they could share."""

_LONGEST_RETRY_S: Final = 60

_CAUTION: Final = 1.5
"""A request is admitted if it would be in time even if the queue emptied so much more slowly than of late."""


class LaneRules(msgspec.Struct, frozen=True):
    """How a version's requests wait and go together.

    Attributes:
        runs: How many runs of the version may go on at once; None for as many as there are threads.
        max_queue_rows: How many rows may wait.
        max_queue_s: How long a request may have to wait, by what is known when it comes, seconds.
        batch_rows: How many rows go together at most; 1 means that requests share no runs.
        batch_wait_us: How long a request waits for others although a thread is free, µs.
    """

    runs: int | None = None
    max_queue_rows: int = 100_000
    max_queue_s: float = 10.0
    batch_rows: int = 1
    batch_wait_us: float = 0.0


class Lane:
    """The queue of one version.

    Requests gather only while no thread is free for them, unless `batch_wait_us` says otherwise: then all of the same
    form go together, as far as they fit.

    Args:
        name: What the version is called in messages.
        model: The model's name: all its versions share its turns.
        session: The graph.
        pool: The threads.
        rules: How requests wait.
        cost: What a run was measured to cost; None if that is not known.

    Attributes:
        share: What the model has had of the threads' time.
        waiting_rows: How many rows wait.
    """

    def __init__(
        self, name: str, model: str, session: Session, pool: Pool, *, rules: LaneRules, cost: Cost | None
    ) -> None:
        self.share = pool.share(model)
        self.waiting_rows = 0
        self._name = name
        self._session = session
        self._pool = pool
        self._rules = rules
        self._cost = cost
        self._most_runs = rules.runs or pool.threads
        self._waiting: dict[Ticket, None] = {}
        self._running = 0
        self._gathering: asyncio.TimerHandle | None = None
        self._closed = False
        row_us = 0.0 if cost is None else cost.of(max(rules.batch_rows, 1)) / max(rules.batch_rows, 1)
        self._drain = Drain(row_us * 1000 / min(self._most_runs, pool.threads))

    async def run(self, request: PredictRequest) -> Tensors:
        """Run the graph for one request, when its turn has come.

        Raises:
            NotReadyError: The version does not serve any more.
            QueueFullError: Too much waits, or what waits would take too long.
            DeadlineError: Its deadline has passed before it was answered.
            RunError: ONNX Runtime failed on it.
        """
        if self._closed:
            raise NotReadyError(f"{self._name} does not serve any more", retry_after_s=1)
        pool, record = self._pool, request.record
        loop = asyncio.get_running_loop()
        now_ns = pool.clock_ns()
        with pool.lock:
            self._admit(request, now_ns)
            ticket = Ticket(request, now_ns, loop)
            if not self._waiting:
                self._drain.begin(now_ns)
            self._waiting[ticket] = None
            self.waiting_rows += request.rows
            if not self._gathers():
                if self._gathering is not None:
                    self._gathering.cancel()
                    self._gathering = None
                if self.can_begin:
                    pool.offer(self, loop)
            elif self._gathering is None:
                self._gathering = loop.call_later(self._rules.batch_wait_us / 1e6, self._release, loop)
        timer = None
        if record.deadline_ns:
            timer = loop.call_later((record.deadline_ns - now_ns) / 1e9, self._expire, ticket)
        try:
            return await ticket.future
        except asyncio.CancelledError:
            self._leave(ticket)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def close(self) -> None:
        """Take no more requests; those that wait or run are answered."""
        self._closed = True

    @property
    def can_begin(self) -> bool:
        """Whether a run could begin if there were a thread."""
        return bool(self._waiting) and self._running < self._most_runs and self._gathering is None

    def begin(self) -> Run | None:
        """Take out what goes together next; None if nothing does. Called by a thread, with the lock of the pool held."""
        if not self.can_begin:
            return None
        now_ns = self._pool.clock_ns()
        tickets = self._together(now_ns)
        if not tickets:
            return None
        rows = 0
        for ticket in tickets:
            del self._waiting[ticket]
            rows += ticket.request.rows
        self.waiting_rows -= rows
        self._running += 1
        self._drain.left(rows, now_ns, more=bool(self._waiting))
        run = Run(self, self._session, tickets, expected_ns=self._expected_ns(rows), started_ns=now_ns)
        for ticket in tickets:
            ticket.run = run
        return run

    def is_short_for(self, run: Run) -> bool:
        """Whether fewer rows wait than a run had that several have shared."""
        return run.together > 1 and self.waiting_rows < run.rows

    def ended(self, _: Run) -> None:
        """A run has ended. Called by a thread, with the lock of the pool held."""
        self._running -= 1

    def _together(self, now_ns: int) -> list[Ticket]:
        """Those who go together: the first whose deadline has not passed, and others of its form as far as they fit."""
        chosen: list[Ticket] = []
        late: list[Ticket] = []
        form: object = None
        rows = 0
        for looked_at, ticket in enumerate(self._waiting):
            request = ticket.request
            if 0 < request.record.deadline_ns <= now_ns:
                late.append(ticket)  # the loop is about to tell its caller
                continue
            if not chosen:
                form = ticket.form() if self._rules.batch_rows > request.rows else None
            elif rows + request.rows > self._rules.batch_rows or ticket.form() != form:
                if looked_at >= _LOOKED_AT:
                    break
                continue
            chosen.append(ticket)
            rows += request.rows
            if form is None or rows >= self._rules.batch_rows or looked_at >= _LOOKED_AT:
                break
        for ticket in late:
            self._forget(ticket)
        return chosen

    def _gathers(self) -> bool:
        """Whether requests wait for more of them."""
        rules = self._rules
        return rules.batch_wait_us > 0 and self.waiting_rows < rules.batch_rows

    def _release(self, loop: asyncio.AbstractEventLoop) -> None:
        """The time in which requests gather is over."""
        with self._pool.lock:
            self._gathering = None
            if self.can_begin:
                self._pool.offer(self, loop)

    def _admit(self, request: PredictRequest, now_ns: int) -> None:
        rules = self._rules
        free = max(0, min(self._pool.free, self._most_runs - self._running))
        if len(self._waiting) < free or not self._waiting:
            return
        # Those that a thread is about to take up wait no longer.
        waiting_rows = self.waiting_rows - sum(each.request.rows for each in islice(self._waiting, free))
        rows = waiting_rows + request.rows
        wait_ns = self._drain.wait_ns(waiting_rows, now_ns)
        run_ns, ends_ns = self._expected_ns(request.rows), request.record.deadline_ns
        if rows > rules.max_queue_rows:
            reason = f"{waiting_rows} rows wait, and no more than {rules.max_queue_rows} may (limits.max_queue_rows)"
        elif wait_ns > rules.max_queue_s * 1e9:
            reason = f"it would wait about {wait_ns / 1e9:.2g} s, and no longer than {rules.max_queue_s:g} s is allowed (limits.max_queue_s)"
        elif ends_ns and now_ns + wait_ns * _CAUTION + run_ns > ends_ns:
            reason = (
                f"it would wait about {wait_ns / 1e9:.2g} s and its run takes {run_ns / 1e9:.2g} s, which is more than "
                f"the {max(ends_ns - now_ns, 0) / 1e9:.2g} s that are left to its deadline allow"
            )
        else:
            return
        retry_after_s = min(_LONGEST_RETRY_S, max(1, math.ceil(wait_ns / 1e9)))
        raise QueueFullError(f"the queue of {self._name} is full: {reason}", retry_after_s=retry_after_s)

    def _expected_ns(self, rows: int) -> int:
        return 0 if self._cost is None else int(self._cost.of(rows) * 1000)

    def _expire(self, ticket: Ticket) -> None:
        if not ticket.future.done():
            self._leave(ticket)
            reason = ticket.request.record.deadline_source
            ticket.future.set_exception(
                DeadlineError(f"{self._name} did not answer before the deadline ({reason})")
            )

    def _leave(self, ticket: Ticket) -> None:
        """Nobody waits for a request any more: it gives its place up, and ends its run if that was for it alone."""
        with self._pool.lock:
            ticket.gone = True
            if ticket.run is not None:
                ticket.run.give_up_if_alone()
            elif ticket in self._waiting:
                self._forget(ticket)
                if not self._waiting:
                    self._pool.withdraw(self)

    def _forget(self, ticket: Ticket) -> None:
        ticket.gone = True
        del self._waiting[ticket]
        self.waiting_rows -= ticket.request.rows
