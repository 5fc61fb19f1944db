"""A progress display: on a terminal a bar, elsewhere nothing."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import sys

import pytest

from foretell.cli.progress import progress


def work() -> None:
    with progress() as on_progress:
        on_progress("convert", 0.5)
        on_progress("convert", 1.0)
        on_progress("compare", 1.0)


def test_nothing_is_written_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    work()
    assert stream.getvalue() == ""


def test_a_terminal_shows_each_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    reader, writer = pty.openpty()
    try:
        with os.fdopen(writer, "w") as terminal:
            monkeypatch.setattr(sys, "stderr", terminal)
            work()
        shown = ""
        with contextlib.suppress(OSError):  # that is how the end of a terminal is told
            while part := os.read(reader, 100_000):
                shown += part.decode()
    finally:
        os.close(reader)
    assert "convert" in shown
    assert "compare" in shown
