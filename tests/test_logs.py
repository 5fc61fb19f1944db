"""Log lines: for machines, for people, and not more of them than are wanted."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog

from foretell.errors import InvalidInputError, NotFoundError, Problem, QueueFullError, RunError
from foretell.logs import RequestLog, open_log
from foretell.prediction import RequestRecord
from foretell.settings import LogSettings

Level = Literal["debug", "info", "warning", "error"]
LEVELS: list[Level] = ["debug", "info", "warning", "error"]


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def never() -> float:
    raise AssertionError("nobody needs to roll dice")


def observe(
    *records: RequestRecord,
    fraction: float = 1.0,
    chance: Callable[[], float] = never,
    form: Literal["json", "text"] = "json",
) -> io.StringIO:
    stream = io.StringIO()
    log = open_log(LogSettings(format=form), stream)
    RequestLog(log, fraction=fraction, chance=chance).observe(records)
    return stream


def answered(**changes: Any) -> RequestRecord:
    fields: dict[str, Any] = {
        "request_id": "abc",
        "protocol": "native",
        "started_ns": 1_000_000,
        "model": "iris",
        "version": 2,
        "rows": 3,
        "status": 200,
        "decoded_ns": 1_500_000,
        "predicted_ns": 3_750_000,
        "finished_ns": 5_000_000,
    }
    return RequestRecord(**(fields | changes))


def crash(secret: str = "") -> Exception:
    """An exception from a function with something to hide in its local variables."""
    try:
        return ZeroDivisionError(len(secret) // 0)
    except ZeroDivisionError as error:
        return error


# ------------------------------------------------------------------ the logger


def test_a_line_is_one_json_object_with_level_and_time() -> None:
    stream = io.StringIO()
    open_log(LogSettings(), stream).info("model ready", model="größe\n", versions=[1, 2], where=object)
    (line,) = lines(stream)
    assert line["event"] == "model ready"
    assert line["level"] == "info"
    assert line["model"] == "größe\n"
    assert line["versions"] == [1, 2]
    assert datetime.fromisoformat(line["timestamp"]).utcoffset() == timedelta(0)


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_less_severe_is_left_out(level: Level) -> None:
    stream = io.StringIO()
    log = open_log(LogSettings(level=level), stream)
    for name in LEVELS:
        getattr(log, name)("event")
    assert [line["level"] for line in lines(stream)] == LEVELS[LEVELS.index(level) :]


def test_text_is_for_people() -> None:
    stream = io.StringIO()
    open_log(LogSettings(format="text"), stream).warning("slow disk", model="iris")
    text = stream.getvalue()
    assert "slow disk" in text
    assert "model=iris" in text
    assert "\x1b" not in text
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


@pytest.mark.parametrize(("form", "is_text"), [("auto", True), ("json", False), ("text", True)])
def test_a_terminal_gets_text_unless_json_is_asked_for(
    form: Literal["auto", "json", "text"], is_text: bool
) -> None:
    reader, writer = pty.openpty()
    try:
        with os.fdopen(writer, "w") as terminal:
            open_log(LogSettings(format=form), terminal).info("event")
            written = os.read(reader, 10_000).decode()
    finally:
        os.close(reader)
    assert written.startswith("{") is not is_text
    assert ("\x1b" in written) is is_text


def test_without_a_terminal_auto_means_json() -> None:
    stream = io.StringIO()
    open_log(LogSettings(format="auto"), stream).info("event")
    assert lines(stream)[0]["event"] == "event"


def test_standard_error_is_where_it_goes_if_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    open_log(LogSettings(format="json")).info("event")
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["event"] == "event"


def test_two_loggers_know_nothing_of_each_other() -> None:
    one, two = io.StringIO(), io.StringIO()
    quiet = open_log(LogSettings(level="error"), one).bind(application="one")
    loud = open_log(LogSettings(level="debug", format="text"), two)
    quiet.info("left out")
    quiet.error("kept")
    loud.debug("detail")
    assert [line["event"] for line in lines(one)] == ["kept"]
    assert "detail" in two.getvalue()
    assert "kept" not in two.getvalue()
    assert "application" not in two.getvalue()


def reference(stream: io.StringIO, level: int) -> Any:
    """structlog, set up so that it writes what we write."""
    return structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )


def write_all(log: Any) -> None:
    """Events of all kinds."""
    bound = log.bind(worker=1).bind(worker=2, place=Path("a"))
    for one in (log, bound):
        for level in [*LEVELS, "critical"]:
            getattr(one, level)(
                "event", ä="ü\n", number=1.5, nothing=None, place=Path("b"), many=({"a": [1]}, set())
            )
        one.info("%s of %d", "one", 2)
        one.info("%(a)s", {"a": 1})
        one.info("100 %")
        error = crash()
        for exc_info in (
            error,
            (type(error), error, error.__traceback__),
            None,
            False,
            True,
            (None, None, None),
        ):
            one.error("failed", exc_info=exc_info, after=1)
        try:
            int("?")
        except ValueError:
            one.exception("failed", a=1)
            one.warning("failed", exc_info=True)


@pytest.mark.parametrize("level", LEVELS)
def test_each_line_is_what_structlog_makes_of_the_event(level: Level) -> None:
    ours, theirs = io.StringIO(), io.StringIO()
    write_all(open_log(LogSettings(level=level), ours))
    write_all(reference(theirs, 10 * (LEVELS.index(level) + 1)))
    time = re.compile(r'("timestamp": ")[^"]*')
    assert time.sub(r"\1", ours.getvalue()) == time.sub(r"\1", theirs.getvalue())
    assert len(ours.getvalue().splitlines()) > 10


def test_a_time_is_written_as_structlog_does() -> None:
    ours, theirs = io.StringIO(), io.StringIO()
    open_log(LogSettings(), ours).info("event")
    reference(theirs, 10).info("event")
    shape = [re.sub(r"\d", "9", lines(stream)[0]["timestamp"]) for stream in (ours, theirs)]
    assert shape == ["9999-99-99T99:99:99.999999Z"] * 2


# ------------------------------------------------------------------ requests


def test_an_answered_request_leaves_one_line_with_its_identity_and_times() -> None:
    (line,) = lines(observe(answered(), chance=lambda: 0.5))
    del line["timestamp"]
    assert line == {
        "event": "request",
        "level": "info",
        "request_id": "abc",
        "protocol": "native",
        "model": "iris",
        "version": 2,
        "rows": 3,
        "status": 200,
        "latency_ms": 4.0,
        "run_ms": 2.25,
    }


def test_a_fraction_of_zero_leaves_no_lines_and_asks_for_no_chance() -> None:
    assert lines(observe(answered(), answered(), fraction=0.0)) == []


def test_a_fraction_of_one_leaves_every_line() -> None:
    assert len(lines(observe(answered(), answered(), fraction=1.0, chance=lambda: 0.999_999_999))) == 2


def test_a_fraction_leaves_a_line_where_chance_falls_below_it() -> None:
    rolls = iter([0.0, 0.24, 0.25, 0.9])
    records = [answered(request_id=str(number)) for number in range(4)]
    found = lines(observe(*records, fraction=0.25, chance=lambda: next(rolls)))
    assert [line["request_id"] for line in found] == ["0", "1"]


def test_a_refused_request_always_leaves_a_warning_with_the_reason() -> None:
    failure = InvalidInputError(Problem("$.instances[0]", "too short"))
    record = answered(status=422, failure=failure, version=0, rows=0, decoded_ns=0, predicted_ns=0)
    (line,) = lines(observe(record, fraction=0.0))
    assert (line["level"], line["event"], line["status"]) == ("warning", "request refused", 422)
    assert line["reason"] == "$.instances[0]: too short"
    assert not {"version", "rows", "run_ms", "exception"} & line.keys()


def test_a_long_reason_is_cut_and_what_the_runtime_said_is_told() -> None:
    failure = InvalidInputError(Problem("$", "x" * 10**6))
    failure.__cause__ = RunError("MatMul dimension mismatch")
    (line,) = lines(observe(answered(status=422, failure=failure), fraction=0.0))
    assert len(line["reason"]) < 3000
    assert line["cause"] == "MatMul dimension mismatch"


def test_a_request_without_a_model_leaves_it_out() -> None:
    (line,) = lines(observe(answered(status=404, failure=LookupError("no such model"), model="", version=0)))
    assert "model" not in line


def test_a_failure_of_the_server_leaves_an_error_with_a_traceback() -> None:
    (line,) = lines(observe(answered(status=500, failure=crash()), fraction=0.0))
    assert (line["level"], line["event"]) == ("error", "request failed")
    assert line["exception"].startswith("Traceback (most recent call last):")
    assert "ZeroDivisionError" in line["exception"]
    assert "crash" in line["exception"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_traceback_shows_no_local_variables(form: Literal["json", "text"]) -> None:
    text = observe(answered(status=500, failure=crash("swordfish")), form=form).getvalue()
    assert "ZeroDivisionError" in text
    assert "swordfish" not in text


def test_without_a_source_of_chance_it_uses_its_own() -> None:
    stream = io.StringIO()
    RequestLog(open_log(LogSettings(), stream), fraction=1.0).observe([answered()])
    assert len(lines(stream)) == 1


def test_a_full_queue_leaves_a_line_a_second_for_each_model_and_says_how_many_it_left_out() -> None:
    def turned_away(model: str, finished_s: float) -> RequestRecord:
        return answered(
            model=model,
            status=503,
            failure=QueueFullError("full", retry_after_s=1),
            finished_ns=int(finished_s * 1e9),
        )

    stream = io.StringIO()
    log = RequestLog(open_log(LogSettings(format="json"), stream), fraction=1.0, chance=never)
    log.observe([turned_away("a", 5 + number / 1000) for number in range(1000)])
    log.observe([turned_away("b", 5.5), answered(model="a", status=404, failure=NotFoundError("no"))])
    log.observe([turned_away("a", 6.0), turned_away("a", 6.5), turned_away("a", 8.0), turned_away("a", 9.0)])
    assert [(line["model"], line["status"], line.get("also")) for line in lines(stream)] == [
        ("a", 503, 0),
        ("b", 503, 0),
        ("a", 404, None),
        ("a", 503, 999),
        ("a", 503, 1),
        ("a", 503, 0),
    ]


WRITER = """
import sys
from foretell.logs import open_log
from foretell.settings import LogSettings
log = open_log(LogSettings(format=sys.argv[1]))
for number in range(2000):
    log.info("line", writer=sys.argv[2], number=number)
"""


def test_lines_of_several_processes_stay_whole() -> None:
    """Workers write into one stream: a line and its end in two writes let another's line come in between."""
    reading, writing = os.pipe()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, "json", name], stderr=writing) for name in "abc"
    ]
    os.close(writing)
    with os.fdopen(reading) as stream:
        seen = [json.loads(line) for line in stream]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    for name in "abc":
        assert [line["number"] for line in seen if line["writer"] == name] == list(range(2000))
