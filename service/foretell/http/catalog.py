"""What is told of the models that are served.

Source: KServe data plane V1, model readiness; TensorFlow Serving RESTful API, model status.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection

    from foretell.engine.model import Absence, Model
    from foretell.protocols.endpoint import Endpoint

__all__ = ["ModelDescription", "ModelList", "PluginStatus", "VersionDescription", "describe_model"]

PluginStatus = Callable[[str, int], dict[str, Any]]
"""What plugins tell of a version, by their names; asked by the model's name and the version's number."""


_ABSENCES: Final[dict[Absence, str]] = {
    "loading": "it is being loaded",
    "policy": "it is not loaded: `load` in model.toml leaves it out",
    "asleep": "it is not loaded: it is when somebody asks it",
}
_STATES: Final[dict[Absence, str]] = {"loading": "LOADING", "policy": "END", "asleep": "START"}


class ModelList(msgspec.Struct, frozen=True):
    """The models that are served.

    Attributes:
        models: Their names, in alphabetical order.
    """

    models: list[str]


class VersionStatus(msgspec.Struct, frozen=True):
    """One version, as TensorFlow Serving tells of it.

    Attributes:
        version: The version's number.
        state: ``AVAILABLE``, ``START`` for one that is loaded when it is asked, ``LOADING``, or ``END`` for one that
            failed to load or is not to be loaded.
        status: What went wrong.
    """

    version: str
    state: str
    status: dict[str, str]


class VersionDescription(msgspec.Struct, frozen=True, omit_defaults=True):
    """One version, in full.

    Attributes:
        version: The version's number.
        ready: Whether it answers predictions.
        reason: Why it does not, or why newer files in its place are not served.
        digest: The SHA-256 of its model file.
        aliases: The aliases that point at it.
        description: What its publisher says of it.
        signature: What it takes and gives.
        provenance: Where it comes from.
        parity: The comparison with the original estimator.
        opset: The operator sets that it uses.
        plugins: What plugins tell of it, by their names.
    """

    version: str
    ready: bool
    reason: str | None = None
    digest: str | None = None
    aliases: list[str] = []
    description: str = ""
    signature: Any = None
    provenance: Any = None
    parity: Any = None
    opset: Any = None
    plugins: dict[str, Any] = {}


class ModelDescription(msgspec.Struct, frozen=True, omit_defaults=True):
    """One model.

    Attributes:
        name: Its name.
        ready: Whether callers who name no version get an answer.
        default_version: The version that answers them.
        reason: What is wrong with the model as a whole.
        aliases: Versions by alias. One that was moved to a version that cannot serve stays where it was.
        versions: Its versions, in rising order.
        model_version_status: The same for TensorFlow Serving's clients.
    """

    name: str
    ready: bool
    default_version: str | None
    reason: str | None
    aliases: dict[str, str]
    versions: list[VersionDescription]
    model_version_status: list[VersionStatus]


def describe_model(
    model: Model[Endpoint], only: Collection[int] | None = None, *, status: PluginStatus
) -> ModelDescription:
    """Tell of a model.

    Args:
        model: The model.
        only: The versions to tell of; all if None.
        status: What plugins tell of a version.
    """
    numbers = [number for number in model.numbers if only is None or number in only]
    return ModelDescription(
        name=model.name,
        ready=model.ready,
        default_version=None if model.default is None else str(model.default.info.version),
        reason=model.error,
        aliases={alias: str(number) for alias, number in model.config.aliases.items()},
        versions=[_describe_version(model, number, status(model.name, number)) for number in numbers],
        model_version_status=[_status(model, number) for number in numbers],
    )


def _describe_version(model: Model[Endpoint], number: int, plugins: dict[str, Any]) -> VersionDescription:
    aliases = sorted(alias for alias, target in model.config.aliases.items() if target == number)
    if number in model.failures:
        return VersionDescription(
            str(number), ready=False, reason=model.failures[number], aliases=aliases, plugins=plugins
        )
    if number in model.unloaded:
        return VersionDescription(
            str(number),
            ready=False,
            reason=_ABSENCES[model.unloaded[number]],
            aliases=aliases,
            plugins=plugins,
        )
    info = model.versions[number].info
    manifest = info.manifest
    return VersionDescription(
        str(number),
        ready=True,
        reason=_outdated(model.outdated.get(number)),
        digest=info.digest,
        aliases=aliases,
        description=manifest.description if manifest else "",
        signature=info.signature,
        provenance=manifest.provenance if manifest else None,
        parity=manifest.parity if manifest else None,
        opset=manifest.opset if manifest else None,
        plugins=plugins,
    )


def _outdated(reason: str | None) -> str | None:
    return None if reason is None else f"it serves as it was loaded before; its files have changed: {reason}"


def _status(model: Model[Endpoint], number: int) -> VersionStatus:
    failure = model.failures.get(number)
    if failure is not None:
        return VersionStatus(
            str(number), "END", {"error_code": "FAILED_PRECONDITION", "error_message": failure}
        )
    state = "AVAILABLE" if number in model.versions else _STATES[model.unloaded[number]]
    return VersionStatus(str(number), state, {"error_code": "OK", "error_message": ""})
