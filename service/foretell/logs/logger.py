"""Writes events with fields, a line each."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO, cast

if TYPE_CHECKING:
    from types import TracebackType

    from foretell.settings import LogSettings

__all__ = ["Logger", "open_log"]


class Logger(Protocol):
    """Writes events with fields: ``log.info("model ready", model="iris")``.

    The field ``exc_info`` holds an exception, whose traceback is written with the event; True stands for the one that
    is being handled. Arguments by position are put into the event as ``%`` does it. The loggers of structlog fit too.
    """

    def bind(self, **fields: Any) -> Logger:
        """A logger that adds some fields to each of its events."""
        ...

    def debug(self, event: str, *values: Any, **fields: Any) -> Any:
        """Write what helps to find a fault."""
        ...

    def info(self, event: str, *values: Any, **fields: Any) -> Any:
        """Write what happened as it should."""
        ...

    def warning(self, event: str, *values: Any, **fields: Any) -> Any:
        """Write what somebody should look at, one day."""
        ...

    def error(self, event: str, *values: Any, **fields: Any) -> Any:
        """Write what went wrong."""
        ...

    def critical(self, event: str, *values: Any, **fields: Any) -> Any:
        """Write what brings the server down."""
        ...

    def exception(self, event: str, *values: Any, **fields: Any) -> Any:
        """Write what went wrong, with the traceback of the exception that is being handled."""
        ...


_Fields = dict[str, Any]
_Render = Callable[[_Fields], str]

_DEBUG, _INFO, _WARNING, _ERROR, _CRITICAL = 10, 20, 30, 40, 50
_LEVELS: Final = {"debug": _DEBUG, "info": _INFO, "warning": _WARNING, "error": _ERROR}


def open_log(settings: LogSettings, stream: TextIO | None = None) -> Logger:
    """A logger of its own, so that two applications in one process do not share one.

    Args:
        settings: The level and the format.
        stream: Where to write; standard error if None.
    """
    out = sys.stderr if stream is None else stream
    as_text = settings.format == "text" or (settings.format == "auto" and out.isatty())
    render = _text(colors=out.isatty()) if as_text else _json
    return _StreamLogger(out, threading.Lock(), _LEVELS[settings.level], render, {})


class _StreamLogger:
    """Writes to a stream.

    Args:
        stream: Where to.
        lock: Is held while a line is written.
        least: The level below which events are left out.
        render: Makes a line of an event's fields.
        bound: What each event has.
    """

    def __init__(
        self, stream: TextIO, lock: threading.Lock, least: int, render: _Render, bound: _Fields
    ) -> None:
        self._stream = stream
        self._lock = lock
        self._least = least
        self._render = render
        self._bound = bound

    def bind(self, **fields: Any) -> Logger:
        return _StreamLogger(self._stream, self._lock, self._least, self._render, self._bound | fields)

    def debug(self, event: str, *values: Any, **fields: Any) -> None:
        self._write(_DEBUG, "debug", event, values, fields)

    def info(self, event: str, *values: Any, **fields: Any) -> None:
        self._write(_INFO, "info", event, values, fields)

    def warning(self, event: str, *values: Any, **fields: Any) -> None:
        self._write(_WARNING, "warning", event, values, fields)

    def error(self, event: str, *values: Any, **fields: Any) -> None:
        self._write(_ERROR, "error", event, values, fields)

    def critical(self, event: str, *values: Any, **fields: Any) -> None:
        self._write(_CRITICAL, "critical", event, values, fields)

    def exception(self, event: str, *values: Any, **fields: Any) -> None:
        self._write(_ERROR, "error", event, values, {"exc_info": True} | fields)

    def _write(self, severity: int, level: str, event: str, values: tuple[Any, ...], fields: _Fields) -> None:
        if severity < self._least:
            return
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        text = _filled(event, values) if values else event
        line = self._render({**self._bound, **fields, "event": text, "level": level, "timestamp": now})
        with self._lock:
            # In one piece: other processes may write to the same place.
            self._stream.write(f"{line}\n")
            self._stream.flush()


def _filled(event: str, values: tuple[Any, ...]) -> str:
    only = values[0] if len(values) == 1 else None
    return event % (only if isinstance(only, Mapping) and only else values)


def _json(fields: _Fields) -> str:
    raised = _raised(fields.pop("exc_info", None))
    if raised is not None:
        fields["exception"] = "".join(traceback.format_exception(*raised)).removesuffix("\n")
    return json.dumps(fields, default=repr)


def _raised(given: Any) -> tuple[type[BaseException], BaseException, TracebackType | None] | None:
    """What is meant by what was given as ``exc_info``, as the standard library takes it."""
    if isinstance(given, tuple):
        _, error, trace = cast("tuple[Any, BaseException | None, TracebackType | None]", given)
        return None if error is None else (type(error), error, trace)
    raised = given if isinstance(given, BaseException) else sys.exception() if given else None
    return None if raised is None else (type(raised), raised, raised.__traceback__)


def _text(*, colors: bool) -> _Render:
    # For people, structlog has the better lines. It brings rich, and a tenth of a second: machines do without both.
    from structlog.dev import ConsoleRenderer, plain_traceback

    renderer = ConsoleRenderer(colors=colors, exception_formatter=plain_traceback)
    return lambda fields: str(renderer(None, fields["level"], fields))
