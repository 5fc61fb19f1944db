"""A made-up server, with made-up models, for trying a plugin without a store."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import structlog

from foretell.errors import ForetellError, InvalidInputError, NotFoundError, Problem, RunError
from foretell.plugin.chain import compose
from foretell.plugin.contract import Plugin, Stage
from foretell.plugin.faults import Faults
from foretell.plugin.loading import LoadedPlugin
from foretell.prediction import ModelInfo, PredictRequest, PredictResponse, RequestRecord
from foretell.signature import BATCH, Signature, Tensor

if TYPE_CHECKING:
    from litestar.connection import ASGIConnection
    from litestar.handlers.base import BaseRouteHandler

    from foretell.plugin.chain import Chain
    from foretell.plugin.instruments import Instrument
    from foretell.prediction import Choose, Predict

__all__ = [
    "PATIENCE_S",
    "ContractError",
    "MadeUpModel",
    "Trial",
    "Watch",
    "ask",
    "records_of_every_kind",
    "run",
]

PATIENCE_S: Final = 20.0
"""How long anything in a trial may take, seconds."""

_SIGNATURE: Final = Signature((Tensor("X", "float32", (BATCH, 2)),), (Tensor("Y", "float32", (BATCH,)),))


class ContractError(AssertionError):
    """A plugin breaks its contract; the message says how."""


_LOOK_UPS: Final = ("KeyError", "IndexError")
_OTHER_MODEL: Final = (
    ". The model here takes one input, 'X', of two columns, and gives 'Y': a rule for a model of its own must let others "
    "alone; ask model.name or model.signature in wrap_predict"
)


class Trial:
    """A plugin on trial: makes it anew for each check, and puts it around made-up models.

    Args:
        plugin_type: The plugin's class.
        config: Its configuration, as the settings would give it.
    """

    def __init__(self, plugin_type: type[Plugin[Any]], config: dict[str, Any] | None = None) -> None:
        self.plugin_type = plugin_type
        self.config = config or {}
        self.faults = Faults(_silent_log())

    def make(self) -> Plugin[Any]:
        """A new plugin, started with a view of a made-up server."""
        plugin = self.plugin_type(msgspec.convert(self.config, self.plugin_type.config_type))
        plugin.on_start(_Host())
        return plugin

    def around(self, plugin: Plugin[Any], end: Predict, name: str = "m") -> Predict:
        """The plugin's chain around a made-up model, isolated as in a server."""
        return self._chain(plugin, end, name).predict

    def chooser(self, plugin: Plugin[Any]) -> Choose | None:
        """What the plugin makes of the choice of a made-up model's version; None if it leaves that alone."""
        return self._chain(plugin, MadeUpModel(), "m").choose

    def _chain(self, plugin: Plugin[Any], end: Predict, name: str) -> Chain:
        loaded = LoadedPlugin(
            "it", "a trial", plugin, False, PATIENCE_S, float("inf"), self.config, {}, set()
        )
        # A run of one second: no plugin may think that it is not worth its while.
        info = ModelInfo(name, 1, name * 64, name * 64, _SIGNATURE, None, 1e6)
        return compose([loaded], info, end, self.faults)

    def no_faults(self) -> None:
        """Fail if the plugin has done anything that the isolation had to mend."""
        if self.faults.errors:
            hint = _OTHER_MODEL if any(name in self.faults.last for name in _LOOK_UPS) else ""
            raise ContractError(f"it failed: {self.faults.last}{hint}")


class MadeUpModel:
    """A made-up model: the sum of each row, times a factor.

    Args:
        factor: The factor.
        error: What it raises, if anything.
        waits: Whether it waits until it may go on.

    Attributes:
        asked: The requests that reached it.
        go: Set when it may go on.
    """

    def __init__(self, *, factor: float = 1, error: Exception | None = None, waits: bool = False) -> None:
        self.asked: list[PredictRequest] = []
        self.error = error
        self.go = asyncio.Event()
        self._factor = factor
        self._waits = waits

    async def __call__(self, request: PredictRequest) -> PredictResponse:
        """Answer a request."""
        self.asked.append(request)
        if self._waits:
            await self.go.wait()
        if self.error is not None:
            raise self.error
        return PredictResponse({"Y": request.inputs["X"].sum(axis=1) * np.float32(self._factor)})


class _Models:
    """The models of the made-up server: there are none."""

    def infos(self, model: str | None = None) -> list[ModelInfo]:
        del model
        return []

    def info(self, model: str, version: int | str | None = None) -> ModelInfo | None:
        del model, version
        return None

    async def predict(
        self, model: str, version: int | str | None, request: PredictRequest
    ) -> PredictResponse:
        del version, request
        raise NotFoundError(f"there is no model {model!r}")


class _Host:
    """A made-up server."""

    def __init__(self) -> None:
        self.models = _Models()
        self.log = _silent_log()
        self.in_flight = 0
        self.plugin_errors: dict[str, int] = {}
        self.fingerprint = "a trial"

    def admin_guard(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Let everybody through."""

    def flush(self) -> None:
        """There is nothing to hand on."""

    def instruments(self) -> list[Instrument]:
        return []


_NO_EVENTS: Final[dict[str, tuple[Any, ...]]] = {}


class Watch:
    """Notes files and connections that are opened meanwhile.

    Its hook stays, as all audit hooks do, but runs no Python then. Python in a hook lets other threads go on in the
    middle of `sys.settrace`, which then fails in those that begin: under coverage they would not come to life.
    """

    def __init__(self, touched: list[str]) -> None:
        self._touched = touched
        self._awake, self._asleep = self._hear, _NO_EVENTS.get
        # The types do not know of __setstate__, which changes what it calls.
        self._hook: Any = partial(self._asleep)
        sys.addaudithook(self._hook)

    def __enter__(self) -> None:
        self._hook.__setstate__((self._awake, (), {}, {}))

    def __exit__(self, *_: object) -> None:
        self._hook.__setstate__((self._asleep, (), {}, {}))

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen"} or (
            event == "open" and not str(arguments[0]).endswith((".py", ".pyc", ".so"))
        ):
            self._touched.append(f"{event} {arguments[0]!r}")


def _silent_log() -> Any:
    def drop(_: Any, __: str, ___: Any) -> Any:
        raise structlog.DropEvent

    return structlog.wrap_logger(structlog.PrintLogger(), processors=[drop])


def ask(*row: float) -> PredictRequest:
    """A request with one row."""
    array = np.array([row], dtype=np.float32)
    array.flags.writeable = False
    record = RequestRecord(
        "trial-1", "native", 1, "/v1/models/{model}:predict", [], model="m", version=1, rows=1
    )
    return PredictRequest({"X": array}, 1, record)


def run(answer: Any, stage: Stage = Stage.OBSERVE, *, refusals: bool = True) -> PredictResponse | None:
    """Wait for an answer; None if a plugin that may refuse has refused."""

    async def wait() -> PredictResponse:
        response: PredictResponse = await asyncio.wait_for(_awaited(answer), PATIENCE_S)
        return response

    try:
        return asyncio.run(wait())
    except TimeoutError as error:
        raise ContractError(f"it did not answer within {PATIENCE_S:g} s") from error
    except ForetellError:
        if refusals and stage in {Stage.GUARD, Stage.VALIDATE}:
            return None
        raise


async def _awaited(answer: Any) -> PredictResponse:
    response: PredictResponse = await answer
    return response


def records_of_every_kind() -> list[RequestRecord]:
    """One record of each kind that there is."""
    refused = InvalidInputError(Problem("$.instances[0]", "no"))
    done = RequestRecord(
        "r1", "native", 1, "/v1/models/{model}:predict", [(b"host", b"localhost")], model="m", version=1, rows=3,
        status=200, decoded_ns=2, queued_ns=3, run_started_ns=4, run_ended_ns=5, run_rows=3, predicted_ns=6, finished_ns=7,
    )  # fmt: skip
    degraded = msgspec.structs.replace(done, degraded="error", served_by="value")
    hit = msgspec.structs.replace(done, cache="hit", queued_ns=0, run_started_ns=0, run_ended_ns=0)
    failed = msgspec.structs.replace(done, status=500, failure=RunError("no"), predicted_ns=0)
    unknown = RequestRecord("r2", "native", 1, "", status=404, failure=NotFoundError("no"), finished_ns=2)
    wrong = RequestRecord(
        "r3", "simple", 1, "/predict", model="m", version=1, status=422, failure=refused, finished_ns=2
    )
    return [done, degraded, hit, failed, unknown, wrong]
