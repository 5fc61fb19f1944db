"""foretell inside a team's own Litestar application, on a real server."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from foretell.errors import PluginError, SettingsError
from foretell.litestar import ForetellPlugin
from tests.servers import SAMPLE_STORE, Serve

APPLICATION = """
from litestar import Litestar, get
from litestar.exceptions import NotFoundException
from foretell.litestar import ForetellPlugin

@get("/")
async def home() -> str:
    return "the team's own"

@get("/health")
async def health() -> str:
    return "the team's own health"

@get("/broken")
async def broken() -> str:
    raise NotFoundException("the team's own error")

app = Litestar(
    [home, health, broken],
    plugins=[ForetellPlugin(store={store!r}, path="/ml", default_model="iris", plugins=["cache"])],
)
"""
ROW = [5.1, 3.5, 1.4, 0.2]


@pytest.fixture(scope="module")
def team(shared_processes: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a team's application under stock uvicorn."""
    folder = tmp_path_factory.mktemp("team")
    (folder / "plugins").mkdir()
    for name in ("cache.py", "Our own.py"):  # plugins of the team's own application, of its own kind
        (folder / "plugins" / name).write_text("raise SystemExit('not yours')\n")
    (folder / "application.py").write_text(textwrap.dedent(APPLICATION).format(store=str(SAMPLE_STORE)))
    server = shared_processes([sys.executable, "-m", "uvicorn", "--port", "0", "application:app"], cwd=folder)
    line = server.wait_for_text("Uvicorn running on")
    with httpx.Client(base_url=next(word for word in line.split() if word.startswith("http://"))) as client:
        yield client


def test_predictions_answer_under_the_path(team: httpx.Client) -> None:
    simple = team.post("/ml/predict", json={"features": ROW})
    assert simple.json()["prediction"] == "setosa"
    native = team.post("/ml/v1/models/iris/versions/2:predict", json={"instances": [ROW, ROW]})
    assert native.json()["model_version"] == "2"
    assert len(native.json()["predictions"]) == 2
    assert team.get("/ml/v1/models").json() == {
        "models": ["breast_cancer", "diabetes", "digits", "iris", "penguins"]
    }
    assert team.get("/ml/health/ready").json()["ready"] is True


def test_the_protocols_of_others_answer_under_the_path(team: httpx.Client) -> None:
    tensor = {"name": "features", "shape": [1, 4], "datatype": "FP32", "data": ROW}
    infer = team.post("/ml/v2/models/iris/infer", json={"inputs": [tensor]})
    assert (infer.status_code, infer.json()["outputs"][0]["data"]) == (200, ["setosa"])
    invoked = team.post("/ml/invocations", json={"dataframe_split": {"data": [ROW]}})
    assert (invoked.status_code, invoked.json()["predictions"]) == (200, ["setosa"])
    for path in (
        "/ml/v2",
        "/ml/v2/health/ready",
        "/ml/v2/models/iris",
        "/ml/v1/models/iris/metadata",
        "/ml/ping",
    ):
        assert team.get(path).status_code == 200, path
    refused = team.post("/ml/v2/models/lily/infer", json={})
    assert (refused.status_code, refused.json()["instance"]) == (404, "/ml/v2/models/lily/infer")
    assert team.post("/v2/models/iris/infer", json={"inputs": [tensor]}).status_code == 404


def test_what_the_team_says_of_its_own_routes_stays(team: httpx.Client) -> None:
    paths = team.get("/schema/openapi.json").json()["paths"]
    assert "default" not in paths["/health"]["get"]["responses"]
    assert "default" in paths["/ml/health"]["get"]["responses"]


def test_nothing_answers_outside_of_the_path(team: httpx.Client) -> None:
    assert team.post("/predict", json={"features": ROW}).status_code == 404
    assert team.get("/v1/models").status_code == 404


def test_the_application_s_own_routes_and_errors_stay_its_own(team: httpx.Client) -> None:
    assert team.get("/").text == "the team's own"
    assert team.get("/health").text == "the team's own health"
    error = team.get("/broken")
    assert error.json() == {"status_code": 404, "detail": "the team's own error"}


def test_errors_under_the_path_are_problems_that_name_the_whole_path(team: httpx.Client) -> None:
    wrong = team.post("/ml/v1/models/iris:predict", json={"instances": [["x", 1, 1, 1]]})
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json")
    assert wrong.json()["instance"] == "/ml/v1/models/iris:predict"
    nothing = team.get("/ml/v1/models/iris/nothing")
    assert (nothing.status_code, nothing.json()["instance"]) == (404, "/ml/v1/models/iris/nothing")


def test_plugins_add_their_routes_under_the_path(team: httpx.Client) -> None:
    refused = team.delete("/ml/admin/cache/iris")
    assert refused.status_code == 403
    assert "set admin.key_sha256" in refused.json()["detail"]
    assert team.delete("/admin/cache/iris").status_code == 404


def test_links_lead_to_the_path(team: httpx.Client) -> None:
    links = team.get("/ml").json()["links"]
    assert team.get(links["models"]).status_code == 200
    assert team.get(links["health"]).status_code == 200


def test_the_document_holds_the_team_s_routes_and_every_model_s(team: httpx.Client) -> None:
    document: dict[str, Any] = team.get("/schema/openapi.json").json()
    validate(document)
    assert {"/", "/broken", "/ml/predict", "/ml/v1/models/iris:predict", "/ml/health"} <= document[
        "paths"
    ].keys()
    example = document["paths"]["/ml/v1/models/iris:predict"]["post"]["requestBody"]["content"][
        "application/json"
    ]["example"]
    assert team.post("/ml/v1/models/iris:predict", json=example).status_code == 200
    assert team.get("/schema").status_code == 200


def test_messages_name_the_routes_where_they_are(team: httpx.Client) -> None:
    def detail(method: str, path: str, body: object = None) -> str:
        answer = team.request(method, path, json=body)
        assert answer.status_code in {404, 422}
        return str(answer.json()["detail"])

    row = {"instances": [ROW]}
    assert "; GET /ml/v1/models lists those" in detail("POST", "/ml/v1/models/none:predict", row)
    assert detail("GET", "/ml/v1/models/iris/nothing").endswith("; GET /ml tells what there is")


@pytest.mark.parametrize("path", ["/", "/ml"])
def test_a_store_that_is_not_there_is_told_without_flags_that_do_not_exist(path: str, tmp_path: Path) -> None:
    from litestar import Litestar
    from litestar.testing import TestClient

    app = Litestar(plugins=[ForetellPlugin(store=tmp_path / "none", path=path, plugins=[])])
    with TestClient(app) as client:
        reason = client.get(f"{path.rstrip('/')}/health/ready").json()["reason"]
    assert "none' does not exist: create the folder, or name another with the argument store" in reason


DROPPED_IN = """
from litestar import get
from foretell.plugin import Plugin, Stage

class Hello(Plugin):
    stage = Stage.OBSERVE

    def on_app_init(self, app_config):
        @get("/hello")
        async def hello() -> str:
            return "hello"
        app_config.route_handlers.append(hello)
        return app_config
"""


@pytest.mark.parametrize("by_settings", [False, True], ids=["by argument", "by settings"])
def test_a_folder_for_plugins_is_looked_at_where_it_is_named(tmp_path: Path, by_settings: bool) -> None:
    from litestar import Litestar

    (tmp_path / "hello.py").write_text(DROPPED_IN)
    plugin = (
        ForetellPlugin(
            store=SAMPLE_STORE, settings={"plugins": {"enabled": ["hello"], "folder": str(tmp_path)}}
        )
        if by_settings
        else ForetellPlugin(store=SAMPLE_STORE, plugins=["hello"], plugins_folder=tmp_path)
    )
    assert "/hello" in {route.path for route in Litestar(plugins=[plugin]).routes}


def test_where_no_folder_is_named_a_note_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "hello.py").write_text(DROPPED_IN)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginError, match="'hello', which is not there") as caught:
        ForetellPlugin(store=SAMPLE_STORE, plugins=["hello"])
    assert caught.value.__notes__ == ["No plugin folder is looked at: name one with plugins_folder."]


def test_one_name_in_place_of_a_list_of_names_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"plugins = 'cache': expected a list of names, \['cache'\]"):
        ForetellPlugin(store=SAMPLE_STORE, plugins="cache")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"limits": {"max_row": 5}}, r"settings: object contains unknown field `max_row` - at `\$.limits`"),
        ({"limits": {"max_rows": "5"}}, "settings: expected `int`, got `str`"),
    ],
    ids=["misspelt", "ill-typed"],
)
def test_a_mistake_in_the_settings_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ForetellPlugin(store=SAMPLE_STORE, plugins=[], settings=settings)


@pytest.mark.parametrize("path", ["ml", "/ml/{model:str}", ""])
def test_a_path_that_cannot_be_is_refused(path: str) -> None:
    with pytest.raises(SettingsError, match="path = "):
        ForetellPlugin(store=SAMPLE_STORE, path=path)


def test_a_plugin_that_is_not_there_is_refused_when_the_application_is_made() -> None:
    with pytest.raises(PluginError, match="'none_such', which is not there"):
        ForetellPlugin(store=SAMPLE_STORE, plugins=["none_such"])


def test_without_a_document_of_its_own_the_application_still_works(tmp_path: Path) -> None:
    from litestar import Litestar

    app = Litestar(plugins=[ForetellPlugin(store=SAMPLE_STORE, plugins=[])], openapi_config=None)
    assert "/predict" in {route.path for route in app.routes}
