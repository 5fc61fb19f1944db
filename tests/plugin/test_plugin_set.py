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

from foretell.errors import NotReadyError, PluginError
from foretell.plugin import (
    Choose,
    Host,
    ModelInfo,
    NoConfig,
    Plugin,
    Predict,
    PredictRequest,
    PredictResponse,
    RequestRecord,
    Stage,
)
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
        try:
            yield
        finally:
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


def test_a_start_that_raises_whatever_it_likes_is_a_failing_start() -> None:
    class Ends(Everything):
        def lifespan(self, app: Litestar) -> Any:
            raise GeneratorExit

    with pytest.raises(PluginError, match=r"plugin 'p' \(a test\) failed in lifespan: GeneratorExit"):
        asyncio.run(live(a_set(loaded(Ends(NoConfig())))))
    optional = msgspec.structs.replace(loaded(Ends(NoConfig())), optional=True)
    plugins = a_set(optional)
    asyncio.run(live(plugins))
    assert list(plugins.missing) == ["p"]


def test_one_that_gives_no_application_is_blamed_and_not_the_next() -> None:
    class Loses(Everything):
        def on_app_init(self, app_config: AppConfig) -> Any:
            return None

    good = loaded(Everything(NoConfig()), name="good")
    with pytest.raises(PluginError, match=r"plugin 'p' .* failed in on_app_init: TypeError: it gave None"):
        a_set(loaded(Loses(NoConfig())), good).init_app(AppConfig())
    plugins = a_set(msgspec.structs.replace(loaded(Loses(NoConfig())), optional=True), good)
    assert len(plugins.init_app(AppConfig()).route_handlers) == 1
    assert list(plugins.missing) == ["p"]


# ------------------------------------------------------------------ opening and closing


class Endless(Everything):
    """Never ends to open, or to close."""

    opens = True

    @asynccontextmanager
    async def lifespan(self, app: Litestar) -> AsyncGenerator[None]:
        if not self.opens:
            await asyncio.Event().wait()
        yield
        await asyncio.Event().wait()


def endless(*, opens: bool, **more: Any) -> Any:
    plugin = Endless(NoConfig())
    plugin.opens = opens
    return msgspec.structs.replace(loaded(plugin, name="endless"), open_s=0.02, close_s=0.02, **more)


def test_one_that_never_opens_stops_the_start_and_what_was_open_is_closed() -> None:
    good = Everything(NoConfig())
    with pytest.raises(
        PluginError, match=r"plugin 'endless' \(a test\) failed in lifespan: it did not open within 0\.02 s"
    ):
        asyncio.run(live(a_set(loaded(good), endless(opens=False))))
    assert good.called == ["open", "close"]


def test_an_optional_one_that_never_opens_is_left_out() -> None:
    good = Everything(NoConfig())
    plugins = a_set(endless(opens=False, optional=True), loaded(good, name="good"))
    asyncio.run(live(plugins))
    assert [each.name for each in plugins.plugins] == ["good"]
    assert "it did not open within 0.02 s (plugins.config.endless.open_s)" in plugins.missing["endless"]


class FailsToClose(Everything):
    @asynccontextmanager
    async def lifespan(self, app: Litestar) -> AsyncGenerator[None]:
        yield
        raise SystemExit(3)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (endless(opens=True), "plugin 'endless' (a test) did not close within 0.02 s"),
        (loaded(FailsToClose(NoConfig()), name="fails"), "SystemExit: 3"),
    ],
    ids=["never closes", "fails to close"],
)
def test_one_that_does_not_close_harms_no_other_and_is_named(bad: Any, reason: str) -> None:
    events: list[dict[str, Any]] = []
    good = Everything(NoConfig())
    faults = make_faults(events)
    asyncio.run(live(PluginSet(LoadedPlugins((loaded(good), bad), {}), faults)))
    assert good.called == ["open", "close"]
    assert faults.errors == {bad.name: 1}
    assert (events[0]["hook"], reason in events[0]["reason"]) == ("lifespan", True)


def test_a_start_that_is_called_off_is_no_fault_of_a_plugin() -> None:
    good = Everything(NoConfig())
    plugins = a_set(loaded(good), msgspec.structs.replace(endless(opens=False, optional=True), open_s=60))

    async def scenario() -> None:
        task = asyncio.ensure_future(live(plugins))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert good.called == ["open", "close"]
    assert plugins.missing == {}


# ------------------------------------------------------------------ around versions


class Crashes(Plugin[NoConfig]):
    """Raises in one hook for one model."""

    stage = Stage.OBSERVE
    hook = ""
    model = "m"
    error: BaseException = ValueError("oops")

    def _crash(self, hook: str, model: str) -> None:
        if hook == self.hook and model == self.model:
            raise self.error

    def configure_model(self, model: str, config: NoConfig) -> None:
        self._crash("configure_model", model)

    def why_not(self, model: ModelInfo) -> str | None:
        self._crash("why_not", model.name)
        return None

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        self._crash("wrap_predict", model.name)

        async def predict(request: PredictRequest) -> PredictResponse:
            return await call_next(request)

        return predict

    def wrap_choice(self, call_next: Choose, model: ModelInfo) -> Choose:
        self._crash("wrap_choice", model.name)

        def choose(record: RequestRecord) -> int:
            return call_next(record)

        return choose


WRAPPING = ["configure_model", "why_not", "wrap_predict", "wrap_choice"]
every_hook = pytest.mark.parametrize("hook", WRAPPING)


def crashing(hook: str, *, optional: bool = False, error: BaseException | None = None) -> Any:
    plugin = Crashes(NoConfig())
    plugin.hook = hook
    plugin.error = error or ValueError("oops")
    return msgspec.structs.replace(loaded(plugin, name="bad"), optional=optional)


@every_hook
@pytest.mark.parametrize("error", [ValueError("oops"), SystemExit("oops"), GeneratorExit("oops")], ids=repr)
def test_whatever_a_plugin_raises_around_a_version_is_an_error_that_names_all(
    hook: str, error: BaseException
) -> None:
    plugins = a_set(crashing(hook, error=error))
    message = rf"plugin 'bad' \(a test\) failed to .*\bm\b.*: {type(error).__name__}: oops"
    with pytest.raises(PluginError, match=message):
        plugins.compose(info(), MadeUpModel(), {})
    assert plugins.compose(info("n"), MadeUpModel(), {}).wrapped


@every_hook
def test_ctrl_c_stays_what_it_is(hook: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        a_set(crashing(hook, error=KeyboardInterrupt())).compose(info(), MadeUpModel(), {})


@every_hook
def test_an_optional_one_that_crashes_is_left_out_of_that_chain_alone(hook: str) -> None:
    events: list[dict[str, Any]] = []
    good = loaded(Crashes(NoConfig()), name="good")
    enabled = (crashing(hook, optional=True), good)
    plugins = PluginSet(LoadedPlugins(enabled, {}), make_faults(events))
    for version in (1, 2):
        chain = plugins.compose(info(version=version), MadeUpModel(), {})
        reasons = {link.plugin: link.why_not for link in chain.links}
        assert "plugin 'bad' (a test) failed to" in str(reasons["bad"])
        assert reasons["good"] is None
        assert chain.choose is not None
        assert chain.choose(RequestRecord("r", "native", 0)) == version
    assert plugins.missing == {"bad": plugins.missing["bad"]}
    assert "ValueError: oops" in plugins.missing["bad"]
    assert [(event["event"], event["plugin"]) for event in events] == [("plugin missing", "bad")]
    assert [link.why_not for link in plugins.compose(info("n"), MadeUpModel(), {}).links] == [None, None]


@pytest.mark.parametrize("hook", ["wrap_choice", "wrap_predict"])
def test_one_that_is_left_out_neither_wraps_nor_chooses(hook: str) -> None:
    end = MadeUpModel()
    chain = a_set(crashing(hook, optional=True)).compose(info(), end, {})
    assert chain.respond is end
    assert chain.choose is None


@every_hook
def test_one_that_has_wrapped_nothing_is_broken_and_one_that_has_wrapped_something_is_not(hook: str) -> None:
    plugins = a_set(crashing(hook))
    assert plugins.broken is None
    with pytest.raises(PluginError):
        plugins.compose(info(), MadeUpModel(), {})
    assert "plugin 'bad' (a test) failed to" in str(plugins.broken)
    plugins.compose(info("n"), MadeUpModel(), {})
    assert plugins.broken is None


def test_one_that_has_nothing_to_wrap_is_not_broken_because_of_one_model() -> None:
    class Picky(Plugin[NoConfig]):
        stage = Stage.OBSERVE

        def configure_model(self, model: str, config: NoConfig) -> None:
            if model == "m":
                raise ValueError("oops")

    plugins = a_set(loaded(Picky(NoConfig())))
    with pytest.raises(PluginError, match="failed to take the settings of m: ValueError: oops"):
        plugins.compose(info(), MadeUpModel(), {})
    assert plugins.broken is not None
    with pytest.raises(PluginError, match="contains unknown field"):
        plugins.compose(info("n"), MadeUpModel(), {"p": {"x": 1}})
    assert plugins.broken is not None
    plugins.compose(info("n"), MadeUpModel(), {"p": False})
    assert plugins.broken is not None
    plugins.compose(info("n"), MadeUpModel(), {})
    assert plugins.broken is None


def test_what_a_plugin_says_of_a_version_on_purpose_does_not_break_it() -> None:
    for hook in WRAPPING:
        plugins = a_set(crashing(hook, optional=True, error=NotReadyError("the target is absent")))
        with pytest.raises(NotReadyError, match="the target is absent"):
            plugins.compose(info(), MadeUpModel(), {})
        assert (plugins.broken, plugins.missing) == (None, {})


def test_mistakes_in_a_model_s_own_settings_are_the_model_s() -> None:
    plugins = a_set(loaded(Everything(NoConfig())))
    with pytest.raises(PluginError, match="contains unknown field"):
        plugins.compose(info(), MadeUpModel(), {"p": {"x": 1}})
    assert plugins.broken is None


# ------------------------------------------------------------------ at work


@pytest.mark.parametrize(
    "told",
    [SystemExit(3), ValueError("oops"), {"x": object()}, {1j: 1}, object()],
    ids=["exits", "crashes", "no JSON", "no key", "nothing told"],
)
def test_a_status_that_cannot_be_told_is_left_out_and_counted(told: Any) -> None:
    class Tells(Plugin[NoConfig]):
        stage = Stage.OBSERVE

        def status(self, model: str, version: int) -> Any:
            if isinstance(told, BaseException):
                raise told
            return told

    class Good(Plugin[NoConfig]):
        stage = Stage.OBSERVE

        def status(self, model: str, version: int) -> Any:
            return {"model": model, "version": version}

    faults = make_faults()
    enabled = (loaded(Tells(NoConfig()), name="bad"), loaded(Good(NoConfig()), name="good"))
    plugins = PluginSet(LoadedPlugins(enabled, {}), faults)
    assert plugins.status("m", 1) == {"good": {"model": "m", "version": 1}}
    assert faults.errors == {"bad": 1}


@pytest.mark.parametrize("error", [SystemExit(3), ValueError("oops")], ids=repr)
def test_a_review_goes_on_without_a_plugin_that_fails(error: BaseException) -> None:
    class Fails(Plugin[NoConfig]):
        stage = Stage.OBSERVE

        def on_models(self, loaded: Any) -> Any:
            raise error

    class Refuses(Plugin[NoConfig]):
        stage = Stage.OBSERVE

        def on_models(self, loaded: Any) -> Any:
            return {("m", 1): "no"}

    faults = make_faults()
    enabled = (loaded(Fails(NoConfig()), name="bad"), loaded(Refuses(NoConfig()), name="good"))
    assert PluginSet(LoadedPlugins(enabled, {}), faults).review([info()]) == {("m", 1): "plugin 'good': no"}
    assert faults.errors == {"bad": 1}
