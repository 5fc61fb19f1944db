"""When Python looks for garbage."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["everything_stays"]


@contextmanager
def everything_stays() -> Generator[None]:
    """While a process imports and wires what it lives with, nothing of it becomes garbage, so nothing is looked through.

    What is there at the end is never looked through again either: it is all modules, classes and routes, and a full
    collection that walks through them holds up a request for tens of milliseconds. For a process that does nothing
    else, and before models are loaded, which come and go.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
