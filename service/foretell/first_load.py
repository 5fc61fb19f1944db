"""The first load of a store, when the server starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foretell.http.relocation import of_an_argument

if TYPE_CHECKING:
    import asyncio

    from foretell.engine.model import Model
    from foretell.engine.registry import Registry
    from foretell.logs import Logger
    from foretell.plugin.plugin_set import PluginSet
    from foretell.protocols.endpoint import Endpoint
    from foretell.settings import Settings

__all__ = ["load_first"]


async def load_first(
    registry: Registry[Endpoint],
    plugins: PluginSet,
    listening: asyncio.Event,
    log: Logger,
    settings: Settings,
    *,
    hosted: bool,
) -> None:
    """Load the store, and say what comes of it.

    Args:
        registry: The models.
        plugins: The plugins, of which one that is not optional may stop the start.
        listening: Set when the server listens: then none stops it any more.
        log: Where events go.
        settings: The settings.
        hosted: Whether the server is part of another application.
    """
    held_back: list[Model[Endpoint]] = []

    def on_found(count: int) -> None:
        log.info("loading models", store=settings.store.path, models=count)

    def on_loaded(model: Model[Endpoint]) -> None:
        if plugins.broken is None:
            registry.journal.model_loaded(model)
        else:  # one message will do, if that plugin stops the start
            held_back.append(model)

    await registry.load(on_found=on_found, on_loaded=on_loaded)
    if plugins.broken is not None and not listening.is_set():
        return
    for model in held_back:
        registry.journal.model_loaded(model)
    if registry.error is not None and hosted:
        registry.error = of_an_argument(registry.error)
    if registry.error is not None:
        log.error("store unreadable", reason=registry.error)
    elif not registry.models:
        log.warning("the store holds no enabled model")
    named = settings.store.default_model
    if named is not None and registry.models and named not in registry.models:
        reason = f"there is no enabled model {named!r}{registry.hint(named)}; set store.default_model"
        log.warning("no default model", reason=reason)
    if registry.error is None:
        for name in sorted(settings.models.keys() - registry.models.keys()):
            reason = f"models.{name}: there is no enabled model {name!r}{registry.hint(name)}"
            log.warning("settings without a model", model=name, reason=reason)
