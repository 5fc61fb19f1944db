"""What platforms tell a container of where it runs: Vertex AI and SageMaker, by variables and folders of their own.

Source: Vertex AI, custom container requirements; Amazon SageMaker, how SageMaker runs your inference image, and
multi-model endpoints' contract.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PlatformSetting", "platform_settings", "remote_storage"]

_VERTEX: Final = {
    "AIP_HTTP_PORT": "server.port",
    "AIP_HEALTH_ROUTE": "platform.health_route",
    "AIP_PREDICT_ROUTE": "platform.predict_route",
}
_STORAGE: Final = "AIP_STORAGE_URI"
_FILE: Final = "file://"
_LOCAL: Final = ("/", _FILE)
_SAGEMAKER_PORT: Final = "SAGEMAKER_BIND_TO_PORT"
_SAGEMAKER_MANY: Final = "SAGEMAKER_MULTI_MODEL"
_HOSTED: Final = "foretell-hosted-models"
_SAGEMAKER_FOLDER: Final = "opt/ml/model"
_EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - the platform reaches the container from outside of it
_DEFAULT_PORT: Final = "8080"


class PlatformSetting(NamedTuple):
    """One setting as a platform gives it.

    Attributes:
        key: ``section.key``.
        value: Its value, as text.
        origin: The variable or the folder that says so.
    """

    key: str
    value: str
    origin: str


def platform_settings(environ: Mapping[str, str], root: Path) -> list[PlatformSetting]:
    """The settings that follow from where the process runs; none if that is no such platform.

    Args:
        environ: The environment.
        root: The root of the file system.
    """
    return [*_of_sagemaker(environ, root / _SAGEMAKER_FOLDER), *_of_vertex(environ)]


def remote_storage(environ: Mapping[str, str]) -> str | None:
    """Where a platform has models that are not on this machine; None if nowhere."""
    storage = environ.get(_STORAGE, "")
    return storage if storage and not storage.startswith(_LOCAL) else None


def _of_vertex(environ: Mapping[str, str]) -> list[PlatformSetting]:
    found = [
        PlatformSetting(key, environ[variable], variable)
        for variable, key in _VERTEX.items()
        if environ.get(variable)
    ]
    if environ.get("AIP_HTTP_PORT"):
        found.append(PlatformSetting("server.host", _EVERYWHERE, "AIP_HTTP_PORT"))
    storage = environ.get(_STORAGE, "")
    if storage.startswith(_LOCAL):
        found.append(PlatformSetting("store.path", storage.removeprefix(_FILE), _STORAGE))
    return found


def _of_sagemaker(environ: Mapping[str, str], folder: Path) -> list[PlatformSetting]:
    many = environ.get(_SAGEMAKER_MANY, "").lower() == "true"
    port = environ.get(_SAGEMAKER_PORT)
    there = folder.is_dir()
    if not (many or port or there):
        return []
    origin = _SAGEMAKER_PORT if port else _SAGEMAKER_MANY if many else str(folder)
    found = [
        PlatformSetting("server.host", _EVERYWHERE, origin),
        PlatformSetting("server.port", port or _DEFAULT_PORT, origin),
    ]
    if many:
        found.append(PlatformSetting("platform.sagemaker_multi_model", "true", _SAGEMAKER_MANY))
        hosted = str(Path(tempfile.gettempdir()) / _HOSTED)
        found.append(PlatformSetting("store.path", hosted, _SAGEMAKER_MANY))
    elif there:
        found.append(PlatformSetting("store.path", str(folder), str(folder)))
    return found
