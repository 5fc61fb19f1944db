"""Lanes and their threads around a made-up graph, whose runs take as long as a test wants."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from foretell.engine.lane import Lane, LaneRules
from foretell.engine.pool import Pool
from foretell.engine.warm_up import Cost
from foretell.errors import RunError
from foretell.prediction import PredictRequest, RequestRecord

if TYPE_CHECKING:
    from foretell.parser import Tensors

__all__ = ["Graph", "Options", "ask", "make_lane", "until"]


class Options:
    """What a run is ended by."""

    def __init__(self) -> None:
        self.terminate = False


class Graph:
    """A graph ``Y = 2 · X``, which fails where an X is negative.

    Args:
        held: Whether its runs wait until they are let go.
        takes_s: What a run takes, seconds.

    Attributes:
        runs: The X of each run, as lists.
        most: How many runs have gone on at once.
        go: Set when runs that wait may go on.
    """

    def __init__(self, *, held: bool = False, takes_s: float = 0.0, loses_rows: bool = False) -> None:
        self.runs: list[list[Any]] = []
        self.most = 0
        self.go = threading.Event()
        if not held:
            self.go.set()
        self._takes_s = takes_s
        self._loses_rows = loses_rows
        self._now = 0
        self._lock = threading.Lock()

    def new_options(self) -> Options:
        return Options()

    def run(self, inputs: Tensors, wanted: Sequence[str] | None = None, options: Any = None) -> Tensors:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.runs.append(inputs["X"].tolist())
        try:
            while not self.go.wait(0.002):
                if options.terminate:
                    raise RunError("terminated")
            if self._takes_s:
                time.sleep(self._takes_s)
            if (inputs["X"] < 0).any():
                raise RunError("negative")
            outputs = {"Y": inputs["X"] * 2, "Z": inputs["X"] * 3}
            if self._loses_rows and len(inputs["X"]) > 1:
                outputs["Y"] = outputs["Y"][:1]
            return outputs if wanted is None else {name: outputs[name] for name in wanted}
        finally:
            with self._lock:
                self._now -= 1


def make_lane(
    graph: Any,
    pool: Pool | None = None,
    *,
    model: str = "m",
    cost: Cost | None = None,
    rules: LaneRules | None = None,
) -> Lane:
    """A lane of a made-up version."""
    lane_rules = rules or LaneRules()
    return Lane(f"{model} version 1", model, graph, pool or Pool(1), rules=lane_rules, cost=cost)


def ask(
    *values: float, deadline_s: float | None = None, outputs: tuple[str, ...] | None = None
) -> PredictRequest:
    """A request of one row for each value."""
    deadline_ns = 0 if deadline_s is None else time.perf_counter_ns() + int(deadline_s * 1e9)
    record = RequestRecord("r", "native", time.perf_counter_ns(), deadline_ns=deadline_ns, rows=len(values))
    return PredictRequest({"X": np.array(values, dtype=np.float32)}, len(values), record, outputs)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in other threads
            await asyncio.sleep(0.001)
