"""A progress display for long work: on a terminal a bar, elsewhere nothing."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rich.progress import TaskID

__all__ = ["progress"]


@contextmanager
def progress() -> Generator[Callable[[str, float], None]]:
    """Show the progress of some work on standard error.

    Yields:
        What the work calls with its stage and how much of that is done, 0 to 1.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<10}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(file=sys.stderr), disable=not sys.stderr.isatty()) as display:
        stages: dict[str, TaskID] = {}

        def on_progress(stage: str, fraction: float) -> None:
            if stage not in stages:
                stages[stage] = display.add_task(stage, total=1.0)
            display.update(stages[stage], completed=fraction)

        yield on_progress
