"""Of a caller's text only so much is shown."""

from __future__ import annotations

from foretell.excerpts import shortened


def test_a_short_text_is_shown_whole() -> None:
    assert shortened("x" * 60) == "x" * 60


def test_a_long_text_ends_in_an_ellipsis() -> None:
    assert shortened("x" * 61) == "x" * 60 + "…"
    assert shortened("abc", 2) == "ab…"
