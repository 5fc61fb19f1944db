"""What is let go leaves the process."""

from __future__ import annotations

import weakref
from typing import Any, cast

import pytest

from foretell.engine.memory import give_back
from foretell.engine.version import Version


class Knot:
    """Something in a cycle of references."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_in_a_cycle_is_found() -> None:
    held = weakref.ref(Knot())
    give_back([cast("weakref.ref[Version]", held)])
    assert held() is None


def test_another_c_library_has_nothing_to_call(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        pass

    def load(_: Any) -> Other:
        return Other()

    monkeypatch.setattr("ctypes.CDLL", load)
    give_back([])
