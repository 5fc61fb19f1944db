"""A server as the plugin sees it, without a server."""

from __future__ import annotations

from collections.abc import Mapping

from foretell.logs import Logger, open_log
from foretell.plugin import Instrument, ModelInfo, Models, PredictRequest, PredictResponse
from foretell.settings import LogSettings
from tests.plugin.chains import info

__all__ = ["MadeUpHost"]


class _MadeUpModels:
    """One model."""

    def infos(self, model: str | None = None) -> list[ModelInfo]:
        return [info(model or "iris")]

    def info(self, model: str, version: int | str | None = None) -> ModelInfo | None:
        return info(model, version if isinstance(version, int) else 1)

    async def predict(
        self, model: str, version: int | str | None, request: PredictRequest
    ) -> PredictResponse:
        raise NotImplementedError


class MadeUpHost:
    """What the plugin sees of a server.

    Attributes:
        given: What the other plugins count.
    """

    def __init__(self, fingerprint: str = "f1") -> None:
        self.fingerprint = fingerprint
        self.given: list[Instrument] = []
        self.in_flight = 0
        self.plugin_errors: Mapping[str, int] = {}
        self.models: Models = _MadeUpModels()
        self.log: Logger = open_log(LogSettings())

    def admin_guard(self, connection: object, handler: object) -> None:
        """Everybody may do everything."""

    def flush(self) -> None:
        """Nothing is gathered here."""

    def instruments(self) -> list[Instrument]:
        """What the other plugins count."""
        return self.given
