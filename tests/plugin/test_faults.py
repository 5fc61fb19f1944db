"""Every fault is counted; the log is told of the first, and then now and then."""

from __future__ import annotations

from typing import Any

import structlog

from foretell.plugin.faults import Faults


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def faults_of(events: list[dict[str, Any]], clock: Clock) -> Faults:
    def keep(_: Any, level: str, event: Any) -> Any:
        events.append({"level": level, **event})
        raise structlog.DropEvent

    return Faults(structlog.wrap_logger(structlog.PrintLogger(), processors=[keep]), clock_s=clock)


def test_a_flood_of_faults_leaves_few_lines_which_say_how_many_there_were() -> None:
    events: list[dict[str, Any]] = []
    clock = Clock()
    faults = faults_of(events, clock)
    for _ in range(100):
        faults.failed("p", "observe", ValueError("no"), request_id="r1")
    clock.now += 10
    faults.failed("p", "observe", ValueError("no"))
    assert faults.errors == {"p": 101}
    assert [(event["level"], event["event"], event["also"]) for event in events] == [
        ("error", "plugin failed", 0),
        ("error", "plugin failed", 99),
    ]
    assert events[0]["reason"] == "ValueError: no"
    assert (events[0]["plugin"], events[0]["hook"], events[0]["request_id"]) == ("p", "observe", "r1")


def test_each_plugin_and_each_hook_has_lines_of_its_own() -> None:
    events: list[dict[str, Any]] = []
    faults = faults_of(events, Clock())
    faults.failed("p", "observe", ValueError())
    faults.failed("p", "wrap_predict", ValueError())
    faults.failed("q", "observe", ValueError())
    faults.slow("q", "observe", own_us=1234.56, budget_us=10)
    assert [(event["plugin"], event["hook"]) for event in events] == [
        ("p", "observe"),
        ("p", "wrap_predict"),
        ("q", "observe"),
        ("q", "observe"),
    ]
    assert (events[-1]["level"], events[-1]["own_us"]) == ("warning", 1234.6)
    assert faults.errors == {"p": 2, "q": 1}
