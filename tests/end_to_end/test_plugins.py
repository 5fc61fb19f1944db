"""Plugins in a real server: dropped in, configured for one model, broken, optional."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.models import linear_model_bytes, write_model_toml, write_version
from tests.servers import RunningServer, ServeStore

STAMP = """
import msgspec
from litestar import get
from foretell.plugin import Plugin, Stage

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str = "plain"

class Stamp(Plugin[Config]):
    stage = Stage.OBSERVE

    def on_start(self, host):
        self.host = host
        self.seen = []

    def on_app_init(self, app_config):
        @get("/seen")
        async def seen() -> list[list[object]]:
            self.host.flush()
            return [[r.model, r.status, r.route, type(r.failure).__name__] for r in self.seen]
        app_config.route_handlers.append(seen)
        return app_config

    def observe(self, records):
        self.seen += records

    def wrap_predict(self, call_next, model):
        text = self.config_for(model.name).text.encode()
        async def predict(request):
            request.record.add_header(b"x-stamp", text)
            return await call_next(request)
        return predict
"""


@pytest.fixture
def folder(tmp_path: Path, store: Path) -> Path:
    """A plugin folder with one plugin, beside a store with three models."""
    for name in ("a", "b", "c"):
        write_version(store, name, 1, linear_model_bytes())
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "stamp.py").write_text(STAMP)
    return plugins


def flags(folder: Path, *more: str, enabled: str = "stamp") -> list[str]:
    settings = [f"plugins.folder={folder}", f"plugins.enabled={enabled}", *more]
    return [word for setting in settings for word in ("--set", setting)]


def ask(server: RunningServer, model: str, body: object = None) -> httpx.Response:
    url = f"{server.url}/v1/models/{model}:predict"
    return httpx.post(url, json=body or {"instances": [[1, 2]]}, timeout=30)


def test_a_dropped_in_plugin_is_around_every_prediction_and_sees_failures_too(
    serve_store: ServeStore, folder: Path, store: Path
) -> None:
    server = serve_store(store, *flags(folder))
    assert ask(server, "a").headers["x-stamp"] == "plain"
    assert ask(server, "a", {"instances": [["x", 2]]}).status_code == 422
    assert ask(server, "nobody").status_code == 404
    route = "/v1/models/{model}:predict"
    assert httpx.get(f"{server.url}/seen").json() == [
        ["a", 200, route, "NoneType"],
        ["a", 422, route, "InvalidInputError"],
        ["", 404, route, "NotFoundError"],
    ]
    assert server.stop() == 0


def test_threads_of_plugins_give_way_to_requests_soon(
    serve_store: ServeStore, folder: Path, store: Path
) -> None:
    """What exports spans, say, would hold up the slowest requests for some of Python's own five milliseconds."""
    (folder / "stamp.py").write_text(
        STAMP.replace(
            "text = self.config_for(model.name).text.encode()", "text = b'%g' % sys.getswitchinterval()"
        )
        + "\nimport sys\n"
    )
    server = serve_store(store, *flags(folder))
    assert ask(server, "a").headers["x-stamp"] == "0.0005"


def test_a_model_has_its_own_settings_or_does_without(
    serve_store: ServeStore, folder: Path, store: Path
) -> None:
    write_model_toml(store, "a", '[plugins.stamp]\ntext = "from its model.toml"\n')
    write_model_toml(store, "b", '[plugins.stamp]\ntext = "overruled"\n')
    server = serve_store(
        store, *flags(folder, "models.b.plugins.stamp.text=settings", "models.c.plugins.stamp=false")
    )
    assert ask(server, "a").headers["x-stamp"] == "from its model.toml"
    assert ask(server, "b").headers["x-stamp"] == "settings"
    assert "x-stamp" not in ask(server, "c").headers
    seen = httpx.get(f"{server.url}/seen").json()
    assert [model for model, *_ in seen] == ["a", "b"]


def test_a_mistake_in_a_model_s_settings_fails_that_model_alone(
    serve_store: ServeStore, folder: Path, store: Path
) -> None:
    write_model_toml(store, "a", '[plugins.stamp]\ntxet = "misspelt"\n')
    server = serve_store(store, *flags(folder))
    assert ask(server, "a").status_code == 503
    assert ask(server, "b").status_code == 200
    health = httpx.get(f"{server.url}/health").json()
    assert "a/model.toml: plugins.stamp: object contains unknown field `txet`" in str(health["models"]["a"])


def test_a_misspelt_plugin_in_model_toml_fails_that_model_and_a_misspelt_model_is_warned_of(
    serve_store: ServeStore, folder: Path, store: Path
) -> None:
    write_model_toml(store, "a", "[plugins.stmap]\ntext = 'x'\n")
    server = serve_store(store, *flags(folder, "models.bb.plugins.stamp=false"))
    assert ask(server, "a").status_code == 503
    assert ask(server, "b").headers["x-stamp"] == "plain"
    health = httpx.get(f"{server.url}/health").json()
    assert "a/model.toml: plugins.stmap: there is no plugin 'stmap'; did you mean 'stamp'?" in str(
        health["models"]["a"]
    )
    warning = server.wait_for("settings without a model", model="bb")
    assert (warning["level"], warning["reason"]) == (
        "warning",
        "models.bb: there is no enabled model 'bb'; did you mean 'b'?",
    )


BROKEN = {
    "import": ("broken.py", "import no_such_module_", "broken", "broken.py cannot be imported"),
    "two classes": ("stamp.py", STAMP + "\nclass Two(Stamp): pass\n", "stamp", "defines 2 plugin classes"),
    "duplicate name": ("cache.py", STAMP, "cache", "two plugins are called 'cache'"),
    "absent": ("other.py", STAMP, "absent", "plugins.enabled names 'absent', which is not there"),
}


@pytest.mark.parametrize(("name", "text", "enabled", "wanted"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_stops_the_start_with_one_clear_line(
    folder: Path, store: Path, name: str, text: str, enabled: str, wanted: str
) -> None:
    (folder / name).write_text(text)
    command = [sys.executable, "-m", "foretell", "serve", "--store", str(store), "--port", "0"]
    ran = subprocess.run(
        [*command, *flags(folder, enabled=enabled)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("foretell: ")
    assert wanted in ran.stderr
    assert "Traceback" not in ran.stderr


def test_an_unknown_key_stops_the_start(folder: Path, store: Path) -> None:
    command = [sys.executable, "-m", "foretell", "serve", "--store", str(store), "--port", "0"]
    ran = subprocess.run(
        [*command, *flags(folder, "plugins.config.stamp.txet=x")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 1
    assert ran.stderr == (
        "foretell: --set plugins.config.stamp.txet: plugins.config.stamp: object contains unknown field `txet`; did you "
        "mean 'text'? its keys are: text\n"
    )


def test_an_optional_one_that_is_missing_is_a_warning_that_health_shows(
    serve_store: ServeStore, folder: Path, store: Path
) -> None:
    (folder / "broken.py").write_text("import no_such_module_")
    server = serve_store(store, *flags(folder, "plugins.config.broken.optional=true", enabled="broken,stamp"))
    assert ask(server, "a").headers["x-stamp"] == "plain"
    assert server.wait_for("plugin missing", plugin="broken")["level"] == "warning"
    health = httpx.get(f"{server.url}/health").json()
    assert (health["status"], health["ready"]) == ("degraded", True)
    assert "broken.py cannot be imported" in health["missing_plugins"]["broken"]


def test_a_plugin_that_crashes_costs_no_request_and_is_logged(
    serve_store: ServeStore, folder: Path, store: Path
) -> None:
    text = STAMP.replace("return await call_next(request)\n", "1 / 0\n").replace(
        "self.seen += records", "1 / 0"
    )
    (folder / "stamp.py").write_text(text)
    server = serve_store(store, *flags(folder))
    for _ in range(50):
        answer = ask(server, "a")
        assert (answer.status_code, answer.json()["predictions"]) == (200, [3.0])
    line = server.wait_for("plugin failed", plugin="stamp", hook="wrap_predict")
    assert line["reason"] == "ZeroDivisionError: division by zero"
    server.wait_for("plugin failed", plugin="stamp", hook="observe")
    assert server.stop() == 0


def test_a_deadline_is_kept_where_a_run_takes_longer(serve_store: ServeStore, store: Path) -> None:
    from tests.models import slow_model_bytes

    write_version(store, "slow", 1, slow_model_bytes(512, 60))
    server = serve_store(store, "--set", "limits.deadline_s=0.01")
    answer = ask(server, "slow", {"instances": [[0.0] * 512]})
    assert answer.status_code == 504
    assert "did not answer before the deadline" in answer.json()["detail"]


CHOOSER = """
from foretell.plugin import Choose, ModelInfo, NoConfig, Plugin, RequestRecord, Stage


class Chooser(Plugin[NoConfig]):
    stage = Stage.SHADOW

    def wrap_choice(self, call_next: Choose, model: ModelInfo) -> Choose:
        def choose(record: RequestRecord) -> int:
            wanted = record.header(b"x-version")
            return call_next(record) if wanted is None else int(wanted)

        return choose
"""


def test_a_plugin_may_choose_the_version_where_the_caller_names_none(
    serve_store: ServeStore, folder: Path, store: Path
) -> None:
    (folder / "chooser.py").write_text(CHOOSER)
    write_version(store, "a", 2, linear_model_bytes(weights=[10, 20]))
    server = serve_store(store, *flags(folder, enabled="chooser,metrics"))

    def version(path: str, wanted: str | None) -> str:
        headers = {} if wanted is None else {"x-version": wanted}
        answer = httpx.post(f"{server.url}{path}", json={"instances": [[1, 1]]}, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["x-model-version"] == answer.json()["model_version"]
        assert answer.json()["predictions"] == [{"1": 2.0, "2": 30.0}[answer.json()["model_version"]]]
        return str(answer.json()["model_version"])

    assert version("/v1/models/a:predict", None) == "2"
    assert version("/v1/models/a:predict", "1") == "1"
    assert version("/v1/models/a/versions/2:predict", "1") == "2"
    assert version("/v1/models/a:predict", "9") == "2"  # there is no such version
    assert version("/v1/models/a:predict", "one") == "2"  # the plugin crashes
    assert server.wait_for("plugin failed", plugin="chooser", hook="wrap_choice")
    counted = httpx.get(f"{server.url}/metrics").text
    assert 'foretell_requests_total{model="a",outcome="success",protocol="native",version="1"} 1.0' in counted
    assert 'foretell_requests_total{model="a",outcome="success",protocol="native",version="2"} 4.0' in counted


# ------------------------------------------------------------------ plugins that keep nothing that they promise


def start(folder: Path, store: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """A start that ends by itself."""
    command = [sys.executable, "-m", "foretell", "serve", "--store", str(store), "--port", "0"]
    return subprocess.run(
        [*command, *flags(folder, *more, enabled="odd")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


ODD = """
import asyncio
from contextlib import asynccontextmanager
from foretell.plugin import Plugin, PredictResponse, Stage

class Odd(Plugin):
    stage = Stage.OBSERVE
"""
NEVER_OPENS = f"""{ODD}
    @asynccontextmanager
    async def lifespan(self, app):
        print("opening", flush=True)
        await asyncio.Event().wait()
        yield
"""
NEVER_CLOSES = f"""{ODD}
    @asynccontextmanager
    async def lifespan(self, app):
        yield
        await asyncio.Event().wait()
"""
FAILS_TO_WRAP = f"""{ODD}
    def wrap_predict(self, call_next, model):
        raise ValueError("oops")
"""
FAILS_FOR_ONE = f"""{ODD}
    def why_not(self, model):
        if model.name == "b":
            raise ValueError("oops")

    def wrap_predict(self, call_next, model):
        return lambda request: call_next(request)
"""
STOPS: dict[str, tuple[str, str]] = {
    "cannot open": (
        f"{ODD}\n    def lifespan(self, app):\n        raise OSError('no port')\n",
        "failed in lifespan: OSError: no port",
    ),
    "ends as it likes": (
        f"{ODD}\n    def lifespan(self, app):\n        raise GeneratorExit\n",
        "failed in lifespan: GeneratorExit",
    ),
    "never opens": (NEVER_OPENS, "failed in lifespan: it did not open within 0.5 s"),
    "wraps no version": (FAILS_TO_WRAP, "failed to wrap"),
    "loses the application": (
        f"{ODD}\n    def on_app_init(self, app_config):\n        pass\n",
        "failed in on_app_init: TypeError: it gave None",
    ),
}


@pytest.mark.parametrize(("text", "reason"), STOPS.values(), ids=STOPS)
def test_one_that_cannot_work_stops_the_start_with_one_message_that_names_its_file(
    folder: Path, store: Path, text: str, reason: str
) -> None:
    (folder / "odd.py").write_text(text)
    ran = start(folder, store, "plugins.config.odd.open_s=0.5")
    assert ran.returncode == 1
    usual = ('"event": "plan"', '"event": "loading models"')
    lines = [line for line in ran.stderr.splitlines() if not any(event in line for event in usual)]
    assert len(lines) == 1, ran.stderr
    assert lines[0].startswith(
        f"foretell: plugin 'odd' (file {folder / 'odd.py'}) {reason.partition(':')[0]}"
    )
    assert reason in lines[0]


def test_optional_ones_that_cannot_work_are_left_out(
    serve_store: ServeStore, folder: Path, store: Path
) -> None:
    more: list[str] = []
    reasons = {f"odd{number}": reason for number, (_, reason) in enumerate(STOPS.values())}
    for name, (text, _) in zip(reasons, STOPS.values(), strict=True):
        (folder / f"{name}.py").write_text(text)
        more += [f"plugins.config.{name}.open_s=0.5", f"plugins.config.{name}.optional=true"]
    server = serve_store(store, *flags(folder, *more, enabled=",".join([*reasons, "stamp"])))
    assert ask(server, "a").headers["x-stamp"] == "plain"
    health = httpx.get(f"{server.url}/health").json()
    assert (health["status"], health["ready"]) == ("degraded", True)
    for name, reason in reasons.items():
        assert reason in health["missing_plugins"][name]
        assert reason in server.wait_for("plugin missing", plugin=name)["reason"]
    assert [event["event"] for event in server.events].count("plugin missing") == len(STOPS)
    assert server.stop() == 0


def test_one_that_crashes_for_one_model_fails_that_model_alone(
    serve_store: ServeStore, folder: Path, store: Path
) -> None:
    (folder / "odd.py").write_text(FAILS_FOR_ONE)
    server = serve_store(store, *flags(folder, enabled="odd"))
    assert ask(server, "a").status_code == 200
    assert ask(server, "b").status_code == 503
    reason = server.wait_for("version failed to load", model="b")["reason"]
    assert reason == f"plugin 'odd' (file {folder / 'odd.py'}) failed to wrap b version 1: ValueError: oops"
    assert reason in str(httpx.get(f"{server.url}/health").json()["models"]["b"])
    assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_a_start_that_hangs(
    serve_store: ServeStore, folder: Path, store: Path, number: signal.Signals
) -> None:
    (folder / "odd.py").write_text(
        NEVER_OPENS.replace("print(", "self.log.info(").replace(", flush=True", "")
        + "\n    def on_start(self, host):\n        self.log = host.log\n"
    )
    server = serve_store(store, *flags(folder, enabled="odd"))
    server.wait_for("opening")
    assert server.stop(number) == 0
    assert [event["event"] for event in server.events] == ["opening", "stopped"]
    assert len(server.raw) == 2


def test_the_process_ends_though_a_plugin_does_not(
    serve_store: ServeStore, folder: Path, store: Path
) -> None:
    (folder / "odd.py").write_text(NEVER_CLOSES)
    server = serve_store(store, *flags(folder, "plugins.config.odd.close_s=0.2", enabled="odd"))
    assert ask(server, "a").status_code == 200
    assert server.stop() == 0
    reason = server.wait_for("plugin failed", plugin="odd", hook="lifespan")["reason"]
    assert f"plugin 'odd' (file {folder / 'odd.py'}) did not close within 0.2 s" in reason


RUDE = f"""
class Raising:
    def __iter__(self):
        raise KeyError("x-a")

class Changing(list):
    looked_at = 0
    def __iter__(self):
        self.looked_at += 1
        return iter([(b"x-good", b"1")] if self.looked_at == 1 else [(b"x-a", b"1\\r\\nset-cookie: evil=1")])
{ODD}
    def wrap_predict(self, call_next, model):
        async def predict(request):
            record = request.record
            response = await call_next(request)
            match record.header(b"x-do"):
                case b"text":
                    record.add_header("x-a", "b")
                case b"break":
                    record.add_header(b"x-a", b"1\\r\\nset-cookie: evil=1")
                case b"text by hand":
                    record.answer_headers = [("x-a", "b")]
                case b"break by hand":
                    record.answer_headers = [(b"x-good", b"1"), (b"x-a", b"1\\r\\nset-cookie: evil=1")]
                case b"number by hand":
                    record.answer_headers = 7
                case b"raises by hand":
                    record.answer_headers = Raising()
                case b"changes by hand":
                    record.answer_headers = Changing([(b"x-good", b"1")])
                case b"nothing":
                    return PredictResponse({{}})
            return response
        return predict
"""


def test_what_would_break_an_answer_does_not(serve_store: ServeStore, folder: Path, store: Path) -> None:
    (folder / "odd.py").write_text(RUDE)
    server = serve_store(store, *flags(folder, enabled="odd"))
    for rude in (
        "text",
        "break",
        "text by hand",
        "break by hand",
        "number by hand",
        "raises by hand",
        "changes by hand",
        "nothing",
    ):
        answer = httpx.post(
            f"{server.url}/v1/models/a:predict", json={"instances": [[1, 2]]}, headers={"x-do": rude}
        )
        assert (answer.status_code, answer.json()["predictions"]) == (200, [3.0])
        assert not {"x-a", "set-cookie"} & answer.headers.keys()
        assert ("x-good" in answer.headers) is (rude in {"break by hand", "changes by hand"})
    assert "TypeError: a header is a name" in server.wait_for("plugin failed", plugin="odd")["reason"]
    assert "of bytes, not 'x-a'" in server.wait_for("plugin failed", hook="answer_headers")["reason"]
    assert server.stop() == 0
