"""What platforms tell a container of becomes settings, below those of foretell itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foretell.errors import SettingsError
from foretell.settings import Settings, load_settings

EVERYWHERE = "0.0.0.0"  # noqa: S104 - the platform reaches the container from outside of it
VERTEX = {"AIP_HTTP_PORT": "9090", "AIP_HEALTH_ROUTE": "/h", "AIP_PREDICT_ROUTE": "/p"}


def load(environ: dict[str, str], root: Path, **more: Any) -> tuple[Settings, dict[str, str]]:
    effective = load_settings(environ=environ, root=root, **more)
    return effective.settings, effective.origins


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an empty root below it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_nothing_is_set_elsewhere(folder: Path) -> None:
    assert load({"AIP_MODE": "PREDICTION", "SAGEMAKER_REGION": "eu"}, folder) == (Settings(), {})


def test_vertex_says_where_it_asks(folder: Path) -> None:
    settings, origins = load(VERTEX, folder)
    assert (settings.server.host, settings.server.port) == (EVERYWHERE, 9090)
    assert (settings.platform.predict_route, settings.platform.health_route) == ("/p", "/h")
    assert settings.store.path == Settings().store.path
    assert origins["server.port"] == origins["server.host"] == "AIP_HTTP_PORT"
    assert origins["platform.predict_route"] == "AIP_PREDICT_ROUTE"


@pytest.mark.parametrize(
    ("uri", "path"),
    [("/mnt/models", "/mnt/models"), ("file:///mnt/models", "/mnt/models"), ("", "model_store")],
)
def test_a_storage_of_this_machine_is_the_store(folder: Path, uri: str, path: str) -> None:
    assert load({"AIP_STORAGE_URI": uri}, folder)[0].store.path == path


def test_sagemaker_is_known_by_its_folder(folder: Path) -> None:
    model = folder / "opt/ml/model"
    model.mkdir(parents=True)
    settings, origins = load({}, folder)
    assert (settings.server.host, settings.server.port) == (EVERYWHERE, 8080)
    assert settings.store.path == str(model)
    assert origins["store.path"] == str(model)
    assert not settings.platform.sagemaker_multi_model


def test_sagemaker_may_ask_for_another_port_and_for_many_models(folder: Path) -> None:
    settings, _ = load({"SAGEMAKER_BIND_TO_PORT": "8181", "SAGEMAKER_MULTI_MODEL": "true"}, folder)
    assert settings.server.port == 8181
    assert settings.platform.sagemaker_multi_model
    assert Path(settings.store.path).name == "foretell-hosted-models"


def test_models_that_are_elsewhere_are_not_passed_over_in_silence(folder: Path) -> None:
    Path("foretell.toml").write_text('[store]\npath = "of the image"\n', encoding="utf-8")
    elsewhere = {"AIP_STORAGE_URI": "gs://bucket/model"}
    with pytest.raises(SettingsError, match="'gs://bucket/model' is not on this machine"):
        load(elsewhere, folder)
    named = {**elsewhere, "FORETELL_STORE__PATH": "mounted"}
    assert load(named, folder)[0].store.path == "mounted"


def test_what_foretell_itself_is_told_goes_before(folder: Path) -> None:
    Path("foretell.toml").write_text('[server]\nhost = "file"\nport = 1\n', encoding="utf-8")
    own = {"FORETELL_SERVER__PORT": "2", "FORETELL_PLATFORM__PREDICT_ROUTE": "/mine"}
    settings, origins = load({**VERTEX, **own}, folder)
    assert (settings.server.host, settings.server.port) == (EVERYWHERE, 2)
    assert settings.platform.predict_route == "/mine"
    assert origins["server.port"] == "FORETELL_SERVER__PORT"


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"AIP_HTTP_PORT": "http"}, "AIP_HTTP_PORT"),
        ({"AIP_PREDICT_ROUTE": "predict"}, "AIP_PREDICT_ROUTE: platform.predict_route"),
        ({"AIP_PREDICT_ROUTE": "/v2/{m}"}, "AIP_PREDICT_ROUTE: platform.predict_route: .* without braces"),
        ({"AIP_PREDICT_ROUTE": "/"}, "AIP_PREDICT_ROUTE: platform.predict_route"),
        ({"SAGEMAKER_BIND_TO_PORT": "70000"}, "SAGEMAKER_BIND_TO_PORT: server.port"),
    ],
)
def test_a_mistake_names_its_variable(folder: Path, environ: dict[str, str], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        load(environ, folder)
