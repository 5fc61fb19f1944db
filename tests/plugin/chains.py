"""Chains to try plugins in: around a made-up version, without a server."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from foretell.plugin.chain import compose
from foretell.plugin.faults import Faults
from foretell.plugin.loading import LoadedPlugin
from foretell.prediction import ModelInfo, PredictRequest, PredictResponse, RequestRecord
from foretell.signature import Signature, Tensor

if TYPE_CHECKING:
    from foretell.plugin.chain import Chain
    from foretell.plugin.contract import Plugin
    from foretell.prediction import Predict

__all__ = ["Engine", "ask", "chain_of", "info", "loaded", "make_faults"]

SIGNATURE = Signature((Tensor("X", "float32", ("batch", 2)),), (Tensor("Y", "float32", ("batch",)),))


def info(
    name: str = "m", version: int = 1, *, run_us: float | None = 100.0, fingerprint: str = "f1"
) -> ModelInfo:
    """What is known of a made-up version."""
    return ModelInfo(name, version, "d1", fingerprint, SIGNATURE, None, run_us)


class Engine:
    """The end of a chain: the sum of each row.

    Attributes:
        runs: The requests that reached it.
    """

    def __init__(self, before: Callable[[], Awaitable[None]] | None = None) -> None:
        self.runs: list[PredictRequest] = []
        self._before = before

    async def __call__(self, request: PredictRequest) -> PredictResponse:
        self.runs.append(request)
        if self._before is not None:
            await self._before()
        return PredictResponse({"Y": request.inputs["X"].sum(axis=1)})


_numbers = itertools.count(1)


def ask(*rows: list[float], headers: list[tuple[bytes, bytes]] | None = None) -> PredictRequest:
    """A request with these rows; one with ``[1, 2]`` if there are none."""
    matrix = np.array(rows or [[1, 2]], dtype=np.float32)
    matrix.flags.writeable = False
    record = RequestRecord(f"r{next(_numbers)}", "native", 0, headers=headers or [])
    return PredictRequest({"X": matrix}, len(matrix), record)


def make_faults(events: list[dict[str, Any]] | None = None) -> Faults:
    """Faults that are logged into a list."""
    kept: list[dict[str, Any]] = [] if events is None else events

    def keep(_: Any, __: str, event: Any) -> Any:
        kept.append(dict(event))
        raise structlog.DropEvent

    return Faults(structlog.wrap_logger(structlog.PrintLogger(), processors=[keep]))


def loaded(
    plugin: Plugin[Any], *, name: str = "p", timeout_s: float = 1.0, budget_us: float = 1e6
) -> LoadedPlugin:
    """A plugin as if the settings had enabled it."""
    return LoadedPlugin(name, "a test", plugin, False, timeout_s, budget_us, {}, {}, set())


def chain_of(
    *plugins: LoadedPlugin, end: Predict, model: ModelInfo | None = None, faults: Faults | None = None
) -> Chain:
    """The chain of some plugins around a made-up version."""
    return compose(plugins, model or info(), end, faults or make_faults())
