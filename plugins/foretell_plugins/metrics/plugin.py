"""The plugin: counts every request, and shows what it counted."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import msgspec
from litestar import Request, Response, get

from foretell.errors import PluginError
from foretell.plugin import Plugin, Stage
from foretell_plugins.metrics.exposition import Exposition
from foretell_plugins.metrics.families import Family, families_of, http_server_duration
from foretell_plugins.metrics.instruments import Instruments
from foretell_plugins.metrics.journal import Journal, in_memory
from foretell_plugins.metrics.push import LONGEST_S, Pusher, push_settings
from foretell_plugins.metrics.state import State, gather, merge
from foretell_plugins.metrics.statistics import statistics_of
from foretell_plugins.metrics.totals import Totals
from foretell_plugins.metrics.workers import Shared, may_share, shared_folder
from foretell_plugins.otlp import URL_FORM

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from litestar import Litestar
    from litestar.config.app import AppConfig

    from foretell.plugin import Host, ModelInfo, RequestRecord
    from foretell.statistics import VersionStatistics

__all__ = ["Metrics", "MetricsConfig"]

_PERIOD_S: Final = 1.0


class MetricsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of the plugin.

    Attributes:
        path: Where Prometheus scrapes.
        directory: The folder in which worker processes count together; this user's alone to write. Only needed
            where a server's workers are not started by Python's multiprocessing, as uvicorn's are: under gunicorn,
            for instance. Processes that use the same folder at the same time are one server.
        max_label_sets: How many combinations of model, version, route, status and what else tells requests apart
            are counted by themselves; what comes after them is counted under the protocol ``other``. Each takes
            3 kB once it is used.
        otlp: Whether metrics are sent by OTLP; if it is not set, the environment decides: OTEL_METRICS_EXPORTER, and
            without it, whether OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_METRICS_ENDPOINT is set.
        otlp_protocol: How; if it is not set, what OTEL_EXPORTER_OTLP_METRICS_PROTOCOL or OTEL_EXPORTER_OTLP_PROTOCOL
            says, and without them ``http/protobuf``.
        otlp_endpoint: Where to, for instance ``http://collector:4318``; if it is not set, the environment decides.
        otlp_interval_s: How often, seconds; if it is not set, OTEL_METRIC_EXPORT_INTERVAL, and without it 60.
    """

    path: Annotated[str, msgspec.Meta(pattern="^/.+", description="a path that begins with /")] = "/metrics"
    directory: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    max_label_sets: Annotated[int, msgspec.Meta(ge=2, le=1_000_000)] = 10_000
    otlp: bool | None = None
    otlp_protocol: Literal["http/protobuf", "grpc"] | None = None
    otlp_endpoint: (
        Annotated[
            str,
            msgspec.Meta(pattern="^https?://.+", description=URL_FORM),
        ]
        | None
    ) = None
    otlp_interval_s: Annotated[float, msgspec.Meta(gt=0, le=LONGEST_S)] | None = None


class Metrics(Plugin[MetricsConfig]):
    """Counts requests for Prometheus and OTLP. If it fails, predictions go on."""

    stage: ClassVar[Stage] = Stage.OBSERVE
    _host: Host
    _instruments: Instruments
    _exposition: Exposition

    def __init__(self, config: MetricsConfig) -> None:
        super().__init__(config)
        # What a process that counts alone has counted ends with it, so that records may come in batches, which costs
        # half; what workers count together has to be in its file before anybody can kill the worker.
        shares = may_share(config.directory)
        self.observes_at_once = shares  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue] - the host asks it of the plugin
        self._journal: Journal | None = None
        self._shared: Shared | None = None
        self._state = State()
        self._models: list[ModelInfo] = []
        self._told: State | None = None
        self._told_full = False
        self._silenced = False

    def on_start(self, host: Host) -> None:
        """Take the view of the server."""
        self._host = host
        self._instruments = Instruments(host.log)

    def observe(self, records: Sequence[RequestRecord]) -> None:
        """Count requests."""
        journal = self._journal
        if journal is not None:
            for record in records:
                journal.append(record)

    async def statistics(self) -> list[VersionStatistics]:
        """What the predictions of each version came to: all workers together."""
        self._host.flush()
        return await asyncio.to_thread(lambda: statistics_of(self._all()[0]))

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the route that is scraped."""

        @get(
            self.config.path,
            operation_id="metrics",
            summary="The metrics of the server, for Prometheus",
            tags=["server"],
            media_type="text/plain",
            raises=[],
        )
        async def scrape(request: Request[Any, Any, Any]) -> Response[bytes]:
            body, media_type = await self._scrape(request.headers.get("accept", ""))
            # As a header: Litestar would add a second charset to a text media type.
            return Response(body, headers={"content-type": media_type})

        app_config.route_handlers.append(scrape)
        return app_config

    def lifespan(self, app: Litestar) -> AbstractAsyncContextManager[None]:
        """Open the journal, and close it."""
        del app
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[None]:
        config = self.config
        push = push_settings(
            os.environ,
            wanted=config.otlp,
            protocol=config.otlp_protocol,
            endpoint=config.otlp_endpoint,
            interval_s=config.otlp_interval_s,
        )
        self._exposition = Exposition()
        async with AsyncExitStack() as stack:
            self._join(stack)
            if self._shared is not None or push is not None:
                await self._tell()
                telling = asyncio.create_task(self._tell_again())
                if push is not None:
                    pusher = Pusher(push, self._own, self._host.log, in_worker=self._shared is not None)
                    stack.push_async_callback(pusher.close)
                stack.push_async_callback(self._tell)
                stack.push_async_callback(_cancel, telling)
            yield

    def _join(self, stack: AsyncExitStack) -> None:
        """Begin to count: alone, or among the workers of the server."""
        most = self.config.max_label_sets
        self._shared = None
        self._told = None
        place = shared_folder(self.config.directory)
        if place is None:
            self._journal = in_memory(most)
            return
        folder, keep = place
        try:
            self._shared = Shared(folder, self._host.fingerprint, most, keep=keep, damaged=self._damaged)
        except OSError as error:
            raise PluginError(
                f"the workers cannot count together in {folder}: {error}; set plugins.config.metrics.directory to "
                "another folder"
            ) from error
        stack.callback(self._shared.close)
        self._journal = self._shared.journal

    def _damaged(self, reason: str) -> None:
        self._host.log.warning("the counts of a worker are damaged", reason=reason)

    async def _tell(self) -> None:
        """Let the other workers, and the thread that sends, know how things are. Whatever fails there is only said."""
        try:
            self._host.flush()  # at the end, what is sent is to hold the last requests too
            self._state, self._models = self._gather(), self._host.models.infos()
            if self._shared is not None and self._state != self._told:
                await asyncio.to_thread(self._shared.write, self._state)
                self._told = self._state
        except Exception as error:  # noqa: BLE001 - other plugins have a say in it, and it goes on in a second
            if not self._silenced:  # one line, and not one every second
                self._silenced = True
                self._host.log.warning(
                    "the state of a worker is not shared", reason=f"{type(error).__name__}: {error}"
                )
        else:
            self._silenced = False

    async def _tell_again(self) -> None:
        """Do so every second."""
        while True:
            await asyncio.sleep(_PERIOD_S)
            await self._tell()

    async def _scrape(self, accept: str) -> tuple[bytes, str]:
        """What is scraped: all workers together."""
        host = self._host
        host.flush()
        state, models = self._gather(), host.models.infos()
        return await asyncio.to_thread(self._write, state, models, accept)

    def _gather(self) -> State:
        return gather(self._host, self._instruments)

    def _write(self, state: State, models: list[ModelInfo], accept: str) -> tuple[bytes, str]:
        totals, of_others = self._all()
        return self._exposition.write(families_of(totals, merge([state, *of_others]), models), accept)

    def _all(self) -> tuple[Totals, list[State]]:
        """What all workers have counted, and how the others are."""
        totals = self._totals()
        if self._shared is None:
            return totals, []
        others, of_others = self._shared.others()
        totals.merge(others)
        return totals, of_others

    def _totals(self) -> Totals:
        """What this worker has counted."""
        journal = self._journal
        if journal is None:
            return Totals()
        if journal.is_full and not self._told_full:
            self._told_full = True
            self._host.log.warning(
                "label sets are used up; what is new is counted under the protocol 'other'",
                setting="plugins.config.metrics.max_label_sets",
                value=self.config.max_label_sets,
            )
        return journal.read()

    def _own(self) -> list[Family]:
        """What this worker sends: its own counts."""
        totals = self._totals()
        return [*families_of(totals, merge([self._state]), self._models), http_server_duration(totals)]


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
