from __future__ import annotations

import multiprocessing
import os
import signal

import pytest

from foretell.supervisor.last_words import SHOW_STACKS, LastWords


def die(words: LastWords, how: str) -> None:
    """What a process does that dies; runs in one of its own."""
    words.record()
    match how:
        case "abort":
            os.abort()
        case "stacks":
            os.kill(os.getpid(), SHOW_STACKS)
        case _:
            words.write(ValueError(how))


def last_words(how: str) -> tuple[str | None, int | None]:
    words = LastWords()
    process = multiprocessing.get_context("spawn").Process(target=die, args=(words, how))
    process.start()
    process.join(60)
    told, status = words.read(), process.exitcode
    process.close()
    words.close()
    return told, status


def test_a_crash_leaves_the_stack() -> None:
    told, status = last_words("abort")
    assert status == -signal.SIGABRT
    assert told is not None
    assert "Fatal Python error: Aborted" in told
    assert " in die" in told


def test_what_a_process_is_doing_can_be_asked_for() -> None:
    told, status = last_words("stacks")
    assert status == 0
    assert told is not None
    assert " in die" in told


def test_an_exception_leaves_its_traceback() -> None:
    told, _ = last_words("out of luck")
    assert told == "ValueError: out of luck"


@pytest.mark.parametrize("length", [0, 100_000])
def test_long_words_are_shortened_at_the_front(length: int) -> None:
    words = LastWords()
    assert words.read() is None
    words.write(ValueError("x" * length + "end"))
    told = words.read() or ""
    words.close()
    assert told.endswith("end")
    assert told.startswith("…") == (length > 0)
    assert len(told) < 7_000
