"""What Locust runs: the users, and the record that its processes keep together.

``FORETELL_LOADTEST_PLAN`` names the file of the plan, ``FORETELL_LOADTEST_RECORD`` the one that the record goes to.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from locust import events
from locust.runners import WorkerRunner

from foretell.loadtest.plan import Plan
from foretell.loadtest.record import Record
from foretell.loadtest.users import (
    ArrivingUser,
    BatchUser,
    InvocationsUser,
    NativeUser,
    RecordsUser,
    SimpleUser,
    V2BinaryUser,
    V2User,
    begin,
)

if TYPE_CHECKING:
    from locust.env import Environment

__all__ = [
    "ArrivingUser",
    "BatchUser",
    "InvocationsUser",
    "NativeUser",
    "RecordsUser",
    "SimpleUser",
    "V2BinaryUser",
    "V2User",
]

_KEY: Final = "foretell_record"
_record = Record()


def _named(variable: str) -> Path:
    if variable not in os.environ:
        raise SystemExit(
            f"{variable} names no file: `foretell loadtest --write-plan plan.msgpack` writes a plan; then "
            "export FORETELL_LOADTEST_PLAN=plan.msgpack FORETELL_LOADTEST_RECORD=record.json"
        )
    return Path(os.environ[variable])


def _begin(environment: Environment, **_: Any) -> None:
    del environment
    begin(Plan.read(_named("FORETELL_LOADTEST_PLAN")), _record)


def _report(client_id: str, data: dict[str, Any]) -> None:
    del client_id
    data[_KEY] = msgspec.to_builtins(_record)
    _record.clear()


def _gather(client_id: str, data: dict[str, Any]) -> None:
    del client_id
    _record.merge(msgspec.convert(data.pop(_KEY), Record, strict=False))


def _keep(environment: Environment, **_: Any) -> None:
    """Write the record, when all that is outstanding has been answered: Locust stops its users only after this."""
    if environment.runner is not None and not isinstance(environment.runner, WorkerRunner):
        environment.runner.stop()
        _record.write(_named("FORETELL_LOADTEST_RECORD"))


_EVENTS: Final[Any] = events  # Locust does not say what its hooks take
_EVENTS.init.add_listener(_begin)
_EVENTS.report_to_master.add_listener(_report)
_EVENTS.worker_report.add_listener(_gather)
_EVENTS.quitting.add_listener(_keep)
