"""What becomes of models and versions, told to the log and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foretell.engine.model import Model
    from foretell.logs import Logger
    from foretell.prediction import ModelInfo

__all__ = ["Journal"]


class Journal:
    """Writes down what becomes of models and versions.

    Args:
        log: Where lines go; None where nobody reads them.

    Attributes:
        loads: How many versions were loaded.
        refusals: How many were not, because something was wrong with them.
        releases: How many were let go.
    """

    def __init__(self, log: Logger | None = None) -> None:
        self.loads = 0
        self.refusals = 0
        self.releases = 0
        self._log = log

    def model_loaded(self, model: Model[Any]) -> None:
        """A model is served that was not before: how it stands."""
        if self._log is None:
            return
        for number, reason in model.failures.items():
            self._log.error("version failed to load", model=model.name, version=number, reason=reason)
        self._warn(model)
        if not model.ready:
            self._log.error("model not ready", model=model.name, reason=model.error)
        else:
            self._log.info(
                "model ready",
                model=model.name,
                default=model.default_version,
                versions=sorted(model.versions),
            )

    def model_changed(self, before: Model[Any], model: Model[Any]) -> None:
        """A model that is served is another than before; what has only begun or failed to load makes no other of it."""
        if self._log is None or _decisive(before) == _decisive(model):
            return
        self._warn(model)
        self._log.info(
            "model changed",
            model=model.name,
            default=model.default_version,
            versions=sorted(model.versions),
            aliases=dict(sorted(model.config.aliases.items())),
        )
        if model.error is not None:
            write = self._log.error if not model.ready else self._log.warning
            write(
                "model not ready" if not model.ready else "model not in order",
                model=model.name,
                reason=model.error,
            )

    def model_removed(self, name: str) -> None:
        """A model is served no more."""
        if self._log is not None:
            self._log.info("model removed", model=name)

    def version_loaded(self, info: ModelInfo) -> None:
        """A version was loaded."""
        self.loads += 1
        if self._log is not None:
            load_s = None if info.load_s is None else round(info.load_s, 3)
            self._log.info("version loaded", model=info.name, version=info.version, load_s=load_s)

    def version_refused(self, name: str, number: int, reason: str, *, serves_on: bool, told: bool) -> None:
        """A version was not loaded because something is wrong with it."""
        self.refusals += 1
        if self._log is not None and told:
            more = {"serves": "as it was loaded before"} if serves_on else {}
            self._log.error("version failed to load", model=name, version=number, reason=reason, **more)

    def version_let_go(self, info: ModelInfo) -> None:
        """A version is no longer in memory."""
        self.releases += 1
        if self._log is not None:
            self._log.info("version let go", model=info.name, version=info.version)

    def store_unreadable(self, reason: str) -> None:
        """The store cannot be read; what is loaded serves on."""
        if self._log is not None:
            self._log.error("store unreadable", reason=reason)

    def store_readable(self) -> None:
        """It can be read again."""
        if self._log is not None:
            self._log.info("store readable again")

    def _warn(self, model: Model[Any]) -> None:
        if self._log is None:
            return
        for alias, number in model.dangling.items():
            self._log.warning(
                "alias points at a version that does not serve", model=model.name, alias=alias, version=number
            )


def _decisive(model: Model[Any]) -> tuple[object, ...]:
    """What decides which answers callers get."""
    return (
        model.versions,
        model.config,
        model.default,
        model.default_stand_in is None,
        model.error,
        model.held,
    )
