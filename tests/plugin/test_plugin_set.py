"""Every hook is called where its time has come; one that fails stops the start, or is left out if optional."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import click
import msgspec
import pytest
from litestar import Litestar, get
from litestar.config.app import AppConfig

from foretell.errors import PluginError
from foretell.plugin import Host, NoConfig, Plugin, Stage
from foretell.plugin.loading import LoadedPlugins
from foretell.plugin.plugin_set import PluginSet
from foretell.plugin.trial import MadeUpModel
from tests.plugin.chains import info, loaded, make_faults


class Everything(Plugin[NoConfig]):
    """Overrides every hook, and notes when each is called."""

    stage = Stage.OBSERVE

    def __init__(self, config: NoConfig) -> None:
        super().__init__(config)
        self.called: list[str] = []

    def on_start(self, host: Host) -> None:
        self.called.append("on_start")

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        self.called.append("on_app_init")

        @get("/hello")
        async def hello() -> str:
            return "hello"

        app_config.route_handlers.append(hello)
        return app_config

    @asynccontextmanager
    async def lifespan(self, app: Litestar) -> AsyncGenerator[None]:
        self.called.append("open")
        yield
        self.called.append("close")

    def register_commands(self, cli: click.Group) -> None:
        self.called.append("register_commands")
        cli.add_command(click.Command("greet"))

    def observe(self, records: Any) -> None:
        self.called.append("observe")


class Nothing(Plugin[NoConfig]):
    """Overrides no hook."""

    stage = Stage.CACHE


HOST: Any = object()


def a_set(*plugins: Any, missing: dict[str, str] | None = None) -> PluginSet:
    return PluginSet(LoadedPlugins(plugins, missing or {}), make_faults())


async def live(plugins: PluginSet) -> None:
    async with plugins.lifespan(Litestar()):
        pass


def test_every_hook_is_called_once_in_its_time() -> None:
    plugin = Everything(NoConfig())
    plugins = a_set(loaded(plugin), loaded(Nothing(NoConfig()), name="q"))
    plugins.start(lambda stage: HOST)
    app_config = plugins.init_app(AppConfig())
    assert len(app_config.route_handlers) == 1
    asyncio.run(live(plugins))
    group = click.Group()
    plugins.register_commands(group)
    assert list(group.commands) == ["greet"]
    (observer,) = plugins.observers()
    observer.observe(())
    assert plugin.called == ["on_start", "on_app_init", "open", "close", "register_commands", "observe"]


def test_each_is_started_with_a_view_of_its_own_stage() -> None:
    stages: list[Stage] = []

    def host_of(stage: Stage) -> Any:
        stages.append(stage)
        return HOST

    a_set(loaded(Everything(NoConfig()))).start(host_of)
    assert stages == [Stage.OBSERVE]


class Failing(Everything):
    """Fails in one hook."""

    hook = ""

    def _fail(self, hook: str) -> None:
        if hook == self.hook:
            raise OSError("no way")

    def on_start(self, host: Host) -> None:
        self._fail("on_start")

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        self._fail("on_app_init")
        return app_config

    @asynccontextmanager
    async def lifespan(self, app: Litestar) -> AsyncGenerator[None]:
        self._fail("lifespan")
        yield

    def register_commands(self, cli: click.Group) -> None:
        self._fail("register_commands")


def go_through(plugins: PluginSet) -> None:
    plugins.start(lambda stage: HOST)
    plugins.init_app(AppConfig())
    plugins.register_commands(click.Group())
    asyncio.run(live(plugins))


HOOKS = ["on_start", "on_app_init", "lifespan", "register_commands"]


def failing(hook: str, *, optional: bool) -> Any:
    plugin = Failing(NoConfig())
    plugin.hook = hook
    return msgspec.structs.replace(loaded(plugin, name="bad"), optional=optional)


@pytest.mark.parametrize("hook", HOOKS)
def test_one_that_fails_stops_the_start_and_is_named(hook: str) -> None:
    with pytest.raises(PluginError, match=rf"plugin 'bad' \(a test\) failed in {hook}: OSError: no way"):
        go_through(a_set(failing(hook, optional=False)))


@pytest.mark.parametrize("hook", HOOKS)
def test_an_optional_one_that_fails_is_left_out_and_its_reason_kept(hook: str) -> None:
    good = Everything(NoConfig())
    plugins = a_set(failing(hook, optional=True), loaded(good, name="good"), missing={"other": "why"})
    go_through(plugins)
    assert [each.name for each in plugins.plugins] == ["good"]
    assert plugins.missing == {
        "other": "why",
        "bad": f"plugin 'bad' (a test) failed in {hook}: OSError: no way",
    }
    assert "close" in good.called


def test_what_fails_while_the_server_runs_is_not_taken_for_a_failing_start() -> None:
    async def scenario() -> None:
        async with a_set(loaded(Everything(NoConfig()))).lifespan(Litestar()):
            raise KeyError("of the server")

    with pytest.raises(KeyError, match="of the server"):
        asyncio.run(scenario())


def test_a_version_is_wrapped_with_what_its_model_toml_says() -> None:
    plugins = a_set(loaded(Everything(NoConfig()), name="p"))
    chain = plugins.compose(info(), MadeUpModel(), {"p": False})
    assert [link.why_not for link in chain.links] == ["switched off for this model"]
    with pytest.raises(PluginError, match=r"m/model\.toml: plugins\.p: object contains unknown field `x`"):
        plugins.compose(info(), MadeUpModel(), {"p": {"x": 1}})
