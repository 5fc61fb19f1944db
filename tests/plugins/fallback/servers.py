"""A server's parts in this process, with the fallback plugin: its store can be loaded again at will."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import structlog

from foretell.engine.loader import Loader
from foretell.engine.registry import Registry
from foretell.http.admin import admin_guard
from foretell.http.answer import Answer
from foretell.http.core import Core
from foretell.http.head import Head
from foretell.http.host import ServerHost
from foretell.http.known import Known
from foretell.http.lookup import Lookup
from foretell.http.native import MODELS, NativeRouting, native_route
from foretell.http.request_ids import RequestIds
from foretell.http.routes import Question, Route
from foretell.plugin.discovery import FoundPlugin
from foretell.plugin.faults import Faults
from foretell.plugin.loading import load_plugins
from foretell.plugin.observers import Observers
from foretell.plugin.plugin_set import PluginSet
from foretell.prediction import Headers, RequestRecord
from foretell.protocols.deadlines import Deadlines
from foretell.protocols.endpoint import Endpoint
from foretell.settings import LimitSettings, Settings
from foretell.settings.model import ModelSettings, PluginSettings
from foretell.store.model_config import ModelLimits
from foretell_plugins.fallback import Fallback

if TYPE_CHECKING:
    from foretell.engine.stand_in import StandIn
    from foretell.engine.version import Version
    from foretell.plugin import Plugin
    from foretell.plugin.contract import Stage
    from foretell.store.model_config import ModelConfig

__all__ = ["Answered", "Server", "predicted"]


class Answered(NamedTuple):
    """An answer."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]
    record: RequestRecord

    @property
    def steps(self) -> list[tuple[str, str]]:
        """What was asked and what came of it."""
        return [
            (step.attributes["target"], step.attributes["outcome"])
            for step in self.record.steps or []
            if step.name == "fallback" and step.attributes is not None
        ]


class Server:
    """The parts of a server, wired as `create_app` does.

    Args:
        store: The store's folder.
        models: What the settings say of plugins for single models, by model name.
        config: What the settings say of plugins, by name.
        plugins: More plugins, by name, that stand behind the fallback within a stage.
        deadline_s: How long a caller waits.
        lazy: Whether models are loaded when they are asked.
        max_loaded_models: How many may be loaded at once.

    Attributes:
        events: What was logged.
    """

    def __init__(
        self,
        store: Path,
        *,
        models: dict[str, dict[str, Any]] | None = None,
        config: dict[str, dict[str, Any]] | None = None,
        plugins: dict[str, type[Plugin[Any]]] | None = None,
        deadline_s: float = 60,
        lazy: bool = False,
        max_loaded_models: int | None = None,
    ) -> None:
        self.events: list[dict[str, Any]] = []

        def keep(_: Any, __: str, event: Any) -> Any:
            self.events.append(dict(event))
            raise structlog.DropEvent

        log = structlog.wrap_logger(structlog.PrintLogger(), processors=[keep])
        kinds: dict[str, type[Plugin[Any]]] = {"fallback": Fallback, **(plugins or {})}
        settings = Settings(
            limits=LimitSettings(max_rows=100, deadline_s=deadline_s),
            plugins=PluginSettings(enabled=tuple(kinds), config=config or {}),
            models={name: ModelSettings(plugins=plugins) for name, plugins in (models or {}).items()},
        )
        found = {name: _found(name, kind) for name, kind in kinds.items()}
        self.faults = Faults(log)
        self.plugins = PluginSet(load_plugins(settings, found), self.faults)
        fallback = self.plugins.plugins[0].plugin
        assert isinstance(fallback, Fallback)
        self.fallback = fallback
        deadlines = Deadlines.of(settings.limits, ModelLimits())

        def serve(version: Version, config: ModelConfig) -> Endpoint:
            chain = self.plugins.compose(version.info, version.respond, config.plugins)
            return Endpoint(version, chain, deadlines)

        def stand_in(absent: StandIn, config: ModelConfig) -> Endpoint | None:
            chain = self.plugins.compose(absent.info, absent.respond, config.plugins)
            return Endpoint(absent, chain, deadlines) if chain.falls_back else None

        self.registry = Registry(
            store,
            Loader.of(settings),
            serve=serve,
            stand_in=stand_in,
            review=self.plugins.review,
            use_of=lambda endpoint: endpoint.use,
            lazy=lazy,
            max_loaded_models=max_loaded_models,
        )
        observers = Observers(self.faults)
        self.core = Core(
            Lookup(self.registry),
            request_ids=RequestIds(),
            observers=observers,
            faults=self.faults,
            deadlines=deadlines,
        )

        def host_of(stage: Stage) -> ServerHost:
            return ServerHost(
                stage,
                registry=self.registry,
                core=self.core,
                observers=observers,
                faults=self.faults,
                log=log,
                admin_guard=admin_guard(None),
                plugins=self.plugins,
                fingerprint="f",
            )

        self.plugins.start(host_of)

    async def ask(self, path: str, body: object, *, waits_s: bytes | None = None) -> Answered:
        """Ask for a prediction, by what follows ``/v1/models/``; `waits_s` is its ``X-Request-Timeout``."""
        headers_sent = [(b"content-type", b"application/json")]
        if waits_s is not None:
            headers_sent.append((b"x-request-timeout", waits_s))
        answer = await predicted(
            self.core, _route(f"{path}:predict"), headers_sent, json.dumps(body).encode()
        )
        headers = {name.decode(): value.decode() for name, value in answer.headers}
        return Answered(answer.status, json.loads(answer.body), headers, answer.record)

    async def ask_rows(self, path: str, rows: Sequence[object], *, waits_s: bytes | None = None) -> Answered:
        """Ask for the predictions of some rows."""
        return await self.ask(path, {"instances": rows}, waits_s=waits_s)

    async def ask_often(self, path: str, rows: Iterable[Sequence[object]]) -> list[Answered]:
        """Ask many at once."""
        return list(await asyncio.gather(*(self.ask_rows(path, each) for each in rows)))

    def describe(self, path: str) -> dict[str, Any]:
        """The catalogue's entry."""
        routing = NativeRouting(Lookup(self.registry), self.plugins.status, Known())
        described: dict[str, Any] = msgspec.to_builtins(routing.answer(Question(_route(path), [], "GET")))
        return described

    def status(self, model: str, version: int) -> dict[str, Any]:
        """What the fallback tells of a version."""
        status: dict[str, Any] = self.plugins.status(model, version).get("fallback", {})
        return status

    def close(self) -> None:
        """Let go of the models."""
        self.registry.close()


def _found(name: str, kind: type[Plugin[Any]]) -> FoundPlugin:
    return FoundPlugin(name, "a test", lambda: kind)


async def predicted(core: Core, route: Route, headers: Headers, body: bytes) -> Answer:
    """What the core answers a prediction, waited for where there is something to wait for."""
    answer = core.predict(route, Head.of(headers), body)
    return answer if isinstance(answer, Answer) else await answer


def _route(path: str) -> Route:
    return native_route(f"{MODELS}/{path}", f"/{path}")
