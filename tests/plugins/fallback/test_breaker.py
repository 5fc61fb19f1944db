"""The breaker does what its rules say, whatever happens in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell_plugins.fallback import Breaker, BreakerRules, BreakerState


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


RULES = BreakerRules(failure_rate=0.5, window_s=10, minimum=4, max_given_up=3, open_s=5, probes=2)


def state(breaker: Breaker) -> str:
    return breaker.state


def make(rules: BreakerRules = RULES) -> tuple[Breaker, Clock, list[BreakerState]]:
    clock, states = Clock(), list[BreakerState]()
    return Breaker(rules, clock_s=clock, changed=lambda state, _: states.append(state)), clock, states


def fail(breaker: Breaker, times: int = 1, *, given_up: bool = False) -> None:
    for _ in range(times):
        breaker.failed(breaker.admit(), given_up=given_up)


def succeed(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.succeeded(breaker.admit())


def opened() -> tuple[Breaker, Clock, list[BreakerState]]:
    breaker, clock, states = make()
    fail(breaker, 4)
    assert state(breaker) == "open"
    return breaker, clock, states


def test_it_opens_at_the_rate_and_not_before_the_minimum() -> None:
    breaker, _, states = make()
    fail(breaker, 3)
    assert state(breaker) == "closed"
    fail(breaker)
    assert (state(breaker), breaker.admit(), breaker.ticket, states) == ("open", 0, 0, ["open"])


def test_it_stays_closed_below_the_rate() -> None:
    breaker, _, _ = make()
    succeed(breaker, 5)
    fail(breaker, 4)
    assert state(breaker) == "closed"
    fail(breaker)
    assert state(breaker) == "open"


def test_what_left_the_window_counts_no_more() -> None:
    breaker, clock, _ = make()
    fail(breaker, 3)
    clock.now_s += 10.5
    fail(breaker)
    assert state(breaker) == "closed"


def test_the_window_is_no_longer_for_what_happens_in_it() -> None:
    breaker, clock, _ = make()
    fail(breaker, 3)
    for _ in range(3):
        clock.now_s += 1.9
        succeed(breaker)
    clock.now_s = 1010.5
    fail(breaker)
    assert state(breaker) == "closed"


def test_what_is_within_the_window_still_counts() -> None:
    breaker, clock, _ = make()
    fail(breaker, 3)
    clock.now_s += 9.9
    fail(breaker)
    assert state(breaker) == "open"


def test_successes_that_left_the_window_hide_no_failures() -> None:
    breaker, clock, _ = make()
    succeed(breaker, 1000)
    clock.now_s += 11
    fail(breaker, 4)
    assert state(breaker) == "open"


def test_runs_in_a_row_that_were_given_up_open_it_whatever_the_rate() -> None:
    breaker, _, _ = make()
    succeed(breaker, 1000)
    fail(breaker, 2, given_up=True)
    succeed(breaker)
    fail(breaker, 2, given_up=True)
    assert state(breaker) == "closed"
    fail(breaker, given_up=True)
    assert state(breaker) == "open"


def test_nothing_is_let_through_while_it_is_open() -> None:
    breaker, clock, _ = opened()
    clock.now_s += 4.999
    assert [breaker.admit() for _ in range(3)] == [0, 0, 0]


def test_probes_are_bounded_and_close_it_when_all_succeed() -> None:
    breaker, clock, states = opened()
    clock.now_s += 5
    assert state(breaker) == "half-open"
    first, second = breaker.admit(), breaker.admit()
    assert first
    assert second
    assert breaker.admit() == 0
    breaker.succeeded(first)
    assert (state(breaker), breaker.admit()) == ("half-open", 0)
    breaker.succeeded(second)
    assert (state(breaker), states) == ("closed", ["open", "half-open", "closed"])
    assert breaker.admit()


def test_a_probe_that_fails_opens_it_again_for_as_long() -> None:
    breaker, clock, _ = opened()
    clock.now_s += 5
    fail(breaker)
    clock.now_s += 4.9
    assert breaker.admit() == 0
    clock.now_s += 0.1
    assert breaker.admit()


def test_a_probe_that_says_nothing_makes_room_for_another() -> None:
    breaker, clock, _ = opened()
    clock.now_s += 5
    tickets = [breaker.admit(), breaker.admit()]
    breaker.released(tickets[0])
    assert breaker.admit()
    assert breaker.admit() == 0


def test_calls_of_another_state_say_nothing() -> None:
    breaker, clock, _ = make()
    late = [breaker.admit() for _ in range(6)]
    fail(breaker, 4)
    breaker.succeeded(late[0])
    breaker.failed(late[1])
    breaker.released(late[2])
    assert state(breaker) == "open"
    clock.now_s += 5
    probe = breaker.admit()
    breaker.failed(late[3])
    breaker.succeeded(late[4])
    breaker.released(late[5])
    assert state(breaker) == "half-open"
    another = breaker.admit()
    assert another
    assert breaker.admit() == 0
    breaker.succeeded(probe)
    breaker.succeeded(another)
    assert state(breaker) == "closed"


def test_once_closed_it_has_forgotten_the_failures_before() -> None:
    breaker, clock, _ = make()
    fail(breaker, 3)
    clock.now_s += 1.5  # so that they are no longer in the present slot
    fail(breaker)
    clock.now_s += 5
    succeed(breaker, 2)
    fail(breaker, 3)
    assert state(breaker) == "closed"


class Model:
    """The rules, written down plainly: every outcome is kept with the number of its slot."""

    def __init__(self, rules: BreakerRules, now_s: float) -> None:
        self.rules = rules
        self.state = "closed"
        self.began_s = now_s
        self.outcomes: list[tuple[int, str]] = []
        self.until_s = 0.0
        self.probes: set[int] = set()
        self.good_probes = 0

    def admit(self, call: int, now_s: float) -> bool:
        if self.state == "closed":
            return True
        if self.state == "open" and now_s >= self.until_s:
            self.state, self.probes, self.good_probes = "half-open", set(), 0
        if self.state == "half-open" and len(self.probes) + self.good_probes < self.rules.probes:
            self.probes.add(call)
            return True
        return False

    def end(self, call: int, outcome: str, admitted_in: object, era: object, now_s: float) -> None:
        if admitted_in is not era:
            return
        if self.state == "half-open":
            self.probes.discard(call)
            if outcome in {"bad", "late"}:
                self.open(now_s)
            elif outcome == "good":
                self.good_probes += 1
                if self.good_probes >= self.rules.probes:
                    self.state, self.outcomes, self.began_s = "closed", [], now_s
        elif outcome != "nothing":
            slot = int((now_s - self.began_s) / (self.rules.window_s / 10))
            self.outcomes.append((slot, outcome))
            seen = [each for at, each in self.outcomes if at > slot - 10]
            bad = sum(each != "good" for each in seen)
            row = self.outcomes[-self.rules.max_given_up :]
            stuck = len(row) == self.rules.max_given_up and all(each == "late" for _, each in row)
            enough = len(seen) >= self.rules.minimum and bad >= self.rules.failure_rate * len(seen)
            if outcome != "good" and (stuck or enough):
                self.open(now_s)

    def open(self, now_s: float) -> None:
        self.state, self.until_s = "open", now_s + self.rules.open_s


steps = st.lists(
    st.one_of(
        st.just(("call", "")),
        st.tuples(st.just("end"), st.sampled_from(["good", "bad", "late", "nothing"])),
        # Eighths of a slot are exact in binary, so that both sides agree on which slot a time is in.
        st.sampled_from([1, 3, 8, 9, 12, 40, 72, 79, 80, 81]).map(lambda eighths: ("wait", str(eighths / 8))),
    ),
    max_size=200,
)
rules = st.builds(
    BreakerRules,
    failure_rate=st.sampled_from([0.1, 0.25, 0.5, 1.0]),
    window_s=st.sampled_from([10.0, 20.0]),
    minimum=st.integers(1, 6),
    max_given_up=st.integers(1, 4),
    open_s=st.sampled_from([0.5, 2.0, 8.0]),
    probes=st.integers(1, 3),
)


@settings(max_examples=500)
@given(rules, steps)
def test_it_agrees_with_its_rules_written_down_plainly(
    rules: BreakerRules, steps: list[tuple[str, str]]
) -> None:
    breaker, clock, states = make(rules)
    model = Model(rules, clock.now_s)
    going: list[tuple[int, int, int]] = []
    for number, (what, value) in enumerate(steps):
        if what == "wait":
            clock.now_s += float(value)
        elif what == "call":
            ticket = breaker.admit()
            assert bool(ticket) is model.admit(number, clock.now_s)
            if ticket:
                going.append((number, ticket, len(states)))
        elif going:
            call, ticket, era = going.pop(0)
            now = len(states)
            if value == "good":
                breaker.succeeded(ticket)
            elif value == "nothing":
                breaker.released(ticket)
            else:
                breaker.failed(ticket, given_up=value == "late")
            model.end(call, value, era, now, clock.now_s)
        if model.state == "open" and clock.now_s >= model.until_s:
            assert state(breaker) == "half-open"
        else:
            assert state(breaker) == model.state
        assert len([ticket for _, ticket, era in going if era == len(states)]) <= (
            rules.probes if breaker.state == "half-open" else len(going)
        )


@pytest.mark.parametrize("ticket", ["closed", "open"])
def test_the_quick_ticket_is_what_admit_gives(ticket: str) -> None:
    breaker, _, _ = make() if ticket == "closed" else opened()
    assert breaker.ticket == breaker.admit()


def suspect(breaker: Breaker, times: int = 1) -> list[bool]:
    return [breaker.suspected(breaker.admit()) for _ in range(times)]


def test_failures_that_are_only_suspected_open_nothing_until_one_is_confirmed() -> None:
    breaker, _, states = make()
    assert suspect(breaker, 6) == [False, False, False, True, True, True]
    assert (state(breaker), states) == ("closed", [])
    breaker.confirmed(breaker.ticket)
    assert (state(breaker), states) == ("open", ["open"])


def test_suspects_that_are_cleared_are_forgotten_and_certain_failures_are_not() -> None:
    breaker, clock, _ = make()
    fail(breaker, 3)
    clock.now_s += 2
    assert suspect(breaker) == [True]
    breaker.cleared(breaker.ticket)
    assert suspect(breaker) == [True]
    breaker.cleared(breaker.ticket)
    fail(breaker)
    assert state(breaker) == "open"


def test_certain_failures_are_not_made_more_by_suspects() -> None:
    breaker, _, _ = make()
    assert suspect(breaker, 3) == [False] * 3
    fail(breaker, 3)
    assert state(breaker) == "closed"
    fail(breaker)
    assert state(breaker) == "open"


def test_suspects_leave_the_window_as_failures_do() -> None:
    breaker, clock, _ = make()
    suspect(breaker, 3)
    clock.now_s += 10.5
    assert suspect(breaker, 4) == [False, False, False, True]


@pytest.mark.parametrize("cleared", [True, False])
def test_a_suspected_probe_is_worth_what_is_found_out_of_it(cleared: bool) -> None:
    breaker, clock, _ = opened()
    clock.now_s += 5
    tickets = [breaker.admit() for _ in range(2)]
    assert [breaker.suspected(ticket) for ticket in tickets] == [True, True]
    assert breaker.admit() == 0
    for ticket in tickets:
        (breaker.cleared if cleared else breaker.confirmed)(ticket)
    assert state(breaker) == ("closed" if cleared else "open")


def test_what_is_found_out_after_a_change_says_nothing() -> None:
    breaker, clock, states = make()
    old = breaker.ticket
    suspect(breaker, 4)
    fail(breaker, 4)
    for tell in (breaker.confirmed, breaker.cleared, breaker.suspected):
        assert not tell(old)
    clock.now_s += 5
    assert (state(breaker), states) == ("half-open", ["open"])
