"""Runs a load test: a server, Locust beside it, and what came of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from foretell.errors import ForetellError
from foretell.loadtest.connections import Connections
from foretell.loadtest.counted import counted, differences
from foretell.loadtest.histogram import Histogram
from foretell.loadtest.plan import Plan
from foretell.loadtest.record import Record

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from foretell.loadtest.question import Question

__all__ = ["Outcome", "run", "unloaded_ms"]

LOCUSTFILE: Final = Path(__file__).with_name("locustfile.py")
_GRACE_S: Final = 60.0
_ALONE_TIMEOUT_S: Final = 30.0
_LOOK_S: Final = 0.2
_MOST_ALONE: Final = 300
_MOST_ALONE_S: Final = 5.0
_PAUSE_S: Final = 0.02
_WARM: Final = 10


class Outcome(msgspec.Struct):
    """What came of a load test.

    Attributes:
        record: What the load generator saw.
        planned_s: For how long questions were to come, seconds.
        cut: Whether it was ended before that.
        differences: Where the server counted otherwise; None if it does not count.
    """

    record: Record
    planned_s: float
    cut: bool
    differences: list[str] | None

    @property
    def took_s(self) -> float:
        """For how long questions came, seconds."""
        return self.record.took_s


def unloaded_ms(url: str, questions: Sequence[Question]) -> float:
    """The median latency of one caller's questions when nobody else asks, ms.

    The caller pauses in between, as callers do when there is little load: who asks without a pause keeps processors awake,
    and its answers are faster than any under load can be.

    Raises:
        ForetellError: One is not answered.
    """
    connections = Connections.to(url, _ALONE_TIMEOUT_S)
    latencies = Histogram()
    until = time.monotonic() + _MOST_ALONE_S
    number = 0
    while number < _WARM or (latencies.total < _MOST_ALONE and time.monotonic() < until):
        question = questions[number % len(questions)]
        number += 1
        began = time.perf_counter()
        try:
            status, body = connections.ask(question.request)
        except OSError as error:
            raise ForetellError(f"{url} does not answer: {error}") from error
        if status != 200:
            raise ForetellError(f"{url} answers {status}: {body[:300].decode(errors='replace')}")
        if number > _WARM // 2:
            latencies.add((time.perf_counter() - began) * 1e6)
        time.sleep(_PAUSE_S)
    connections.close()
    return latencies.percentile(50) / 1000


def run(
    url: str,
    plan: Plan,
    folder: Path,
    *,
    processes: int = 1,
    told: Callable[[float], None] = lambda _done: None,
) -> Outcome:
    """Ask what a plan says, and keep Locust's report. Ctrl-C ends it early, with what was seen until then; another ends it at once.

    Args:
        url: The server.
        plan: What is asked.
        folder: Where to keep what comes of it.
        processes: How many processes of Locust share the load.
        told: Is told now and then which part of the time is over.

    Raises:
        ForetellError: Locust fails, or the server does not answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan_file, record_file = folder / "plan.msgpack", folder / "record.json"
    record_file.unlink(missing_ok=True)
    plan.write(plan_file)
    before = _counted(url)
    command = [
        *(sys.executable, "-m", "locust", "--headless", "--only-summary", "--skip-log"),
        *("-f", str(LOCUSTFILE), "--host", url, "-u", str(processes), "-r", str(processes)),
        *("-t", f"{plan.duration_s + 1:.0f}s", "--stop-timeout", f"{plan.timeout_s + 5:.0f}"),
        *(
            "--html",
            str(folder / "report.html"),
            "--csv",
            str(folder / "locust"),
            "--exit-code-on-error",
            "0",
        ),
        *(("--processes", str(processes)) if processes > 1 else ()),
        "ArrivingUser",
    ]
    environ = {
        **os.environ,
        "FORETELL_LOADTEST_PLAN": str(plan_file),
        "FORETELL_LOADTEST_RECORD": str(record_file),
    }
    with (folder / "locust.log").open("w") as log:
        locust = subprocess.Popen(  # noqa: S603 - this Python, and a folder of the caller's
            command, env=environ, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        cut = _awaited(locust, plan, told)
    if cut and not record_file.exists():
        raise ForetellError("ended before the load began")
    if locust.returncode or not record_file.exists():
        lines = (folder / "locust.log").read_text().strip().splitlines()
        raise ForetellError(
            f"locust ended with {locust.returncode}: {lines[-1] if lines else 'it says nothing'}"
        )
    record = Record.read(record_file)
    plan_file.unlink()
    after = _counted(url)
    found = None if before is None or after is None else differences(before, after, record)
    return Outcome(record, plan.duration_s, cut, found)


def _awaited(locust: subprocess.Popen[bytes], plan: Plan, told: Callable[[float], None]) -> bool:
    """Wait until Locust has ended; whether it was told to before its time."""
    began, cut = time.monotonic(), False
    until = began + plan.duration_s + plan.timeout_s + _GRACE_S
    try:
        while locust.poll() is None:
            try:
                time.sleep(_LOOK_S)
            except KeyboardInterrupt:
                if cut:
                    raise
                cut, until = True, min(until, time.monotonic() + plan.timeout_s + _GRACE_S)
                locust.terminate()  # it answers what is outstanding, and keeps its record
            told(min((time.monotonic() - began) / plan.duration_s, 1.0))
            if time.monotonic() > until:
                raise ForetellError("locust does not end")
    finally:
        if locust.poll() is None:
            os.killpg(locust.pid, signal.SIGKILL)
            locust.wait()
    return cut


def _counted(url: str) -> Counter[tuple[str, str, str]] | None:
    try:
        return counted(url)
    except OSError as error:
        raise ForetellError(f"{url} does not answer: {error}") from error
