"""The bundled plugins together: enabled by default, measured by their instruments, documented."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import msgspec
import pytest

from foretell.errors import PluginError
from foretell.plugin.discovery import discover
from foretell.plugin.loading import load_plugins
from foretell.settings import Settings
from tests.models import linear_model_bytes, write_model_toml, write_version
from tests.servers import ROOT, RunningServer, ServeStore

ALL = ("tracing", "metrics", "fallback", "cache")
TABLE = re.compile(r"^\| `(\w+)` \| (counter|gauge) \| ([\w, ]*) ?\|", re.MULTILINE)


@pytest.fixture(scope="module")
def server(shared_store: ServeStore, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    """All of them around a model with a fallback, and one without that has a shadow; no Redis where the cache looks."""
    store = tmp_path_factory.mktemp("bundled")
    for number in (1, 2):
        write_version(store, "m", number, linear_model_bytes())
    write_version(store, "n", 1, linear_model_bytes())
    write_model_toml(store, "m", 'plugins.fallback = ["version:previous"]\n')
    write_model_toml(store, "n", 'plugins.shadow = "model:m"\n')
    enabled = ",".join([*ALL, "canary", "shadow"])
    settings = [
        f"plugins.enabled={enabled}",
        "plugins.config.cache.force=true",
        "plugins.config.cache.redis_url=redis://127.0.0.1:1/0",
    ]
    return shared_store(store, *(word for each in settings for word in ("--set", each)), measured=False)


def ask(server: RunningServer, model: str) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/models/{model}:predict", json={"instances": [[1, 2]]}, timeout=30)


def test_all_four_are_enabled_by_default() -> None:
    assert Settings().plugins.enabled == ALL


def test_they_answer_together(server: RunningServer) -> None:
    for model in ("m", "n"):
        ask(server, model)
        answer = ask(server, model)
        assert (answer.status_code, answer.json()["predictions"]) == (200, [3.0])
        assert answer.headers["x-foretell-cache"] == "hit"
    assert httpx.get(f"{server.url}/health").json()["status"] == "ok"


def test_the_instruments_of_every_plugin_are_in_a_scrape_and_in_the_document(server: RunningServer) -> None:
    ask(server, "m")
    ask(server, "n")
    scrape = httpx.get(f"{server.url}/metrics").text
    text = (ROOT / "docs" / "metrics.md").read_text().partition("### From the other plugins")[2]
    documented = TABLE.findall(text.partition("### Outcomes")[0])
    assert len(documented) == 11
    for name, kind, labels in documented:
        assert f"# TYPE {name} {kind}" in scrape
        sample = re.search(rf"^{name}(?:{{(.*)}})? ", scrape, re.MULTILINE)
        assert sample is not None, name
        wanted = {label.strip() for label in labels.split(",")} - {""}
        assert set(re.findall(r"(\w+)=", sample[1] or "")) == wanted
    assert 'foretell_breaker_state{model="m",version="2"} 0.0' in scrape
    assert float(re.findall(r"^foretell_cache_bytes (\S+)", scrape, re.MULTILINE)[0]) > 0


def test_the_chain_is_shown_with_reasons(server: RunningServer, tmp_path: Path) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "foretell", "plugins", "chain", "iris", "--version", "1"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    rows = [line.split(maxsplit=3) for line in printed.splitlines()[1:]]
    assert [row[1:3] for row in rows[:4]] == [
        ["OBSERVE", "tracing"],
        ["OBSERVE", "metrics"],
        ["FALLBACK", "fallback"],
        ["CACHE", "cache"],
    ]
    assert rows[1][3] == "does not wrap; observes"
    assert rows[2][3] == "not: it has no chain: set plugins.fallback in its model.toml"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("cache.redis_url", "a URL that begins with redis://, rediss:// or unix://"),
        ("tracing.endpoint", "a URL that begins with http:// or https://"),
        ("metrics.otlp_endpoint", "a URL that begins with http:// or https://"),
        ("metrics.path", "a path that begins with /"),
    ],
)
def test_a_text_of_the_wrong_form_is_told_in_words(key: str, expected: str) -> None:
    plugin, _, name = key.partition(".")
    config = {plugin: {name: "nothing of that kind"}}
    settings = msgspec.convert({"plugins": {"enabled": [plugin], "config": config}}, Settings)
    with pytest.raises(PluginError, match=re.escape(f"expected {expected}, got 'nothing of that kind'")):
        load_plugins(settings, discover(None))
