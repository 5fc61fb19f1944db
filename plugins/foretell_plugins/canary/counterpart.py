"""The version that is set beside another one: to answer in its place, or to be compared with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from foretell_plugins.fallback.likeness import UnlikeError, fit

if TYPE_CHECKING:
    from foretell.plugin import ModelInfo, Models

__all__ = ["Counterpart"]


class Counterpart:
    """Another version, by its number or alias.

    What it means is looked up each time, because aliases move and models are loaded anew; what was found is checked
    once.

    Args:
        own: The version that it is set beside.
        models: The models of the server.
        model: Its model's name.
        version: Its number or alias; None for the version that answers by default.
        on_problem: Is told why it cannot be used: once, until something changes.

    Attributes:
        means: The version that it meant when it was looked up last; None if that does not serve.
        problem: Why that cannot be used; None if it can.
    """

    def __init__(
        self,
        own: ModelInfo,
        models: Models,
        model: str,
        version: int | str | None,
        *,
        on_problem: Callable[[str], None],
    ) -> None:
        self.means: ModelInfo | None = None
        self.problem: str | None = None
        self._own = own
        self._models = models
        self._model = model
        self._version = version
        self._on_problem = on_problem
        self._looked_up = False

    def find(self) -> ModelInfo | None:
        """The version that it means now; None if that cannot be used."""
        info = self._models.info(self._model, self._version)
        if info is not self.means or not self._looked_up:
            self._look_at(info)
        return info if self.problem is None else None

    @property
    def is_own(self) -> bool:
        """Whether it means the very version that it is set beside."""
        means, own = self.means, self._own
        return means is not None and (means.name, means.version) == (own.name, own.version)

    def _look_at(self, info: ModelInfo | None) -> None:
        self._looked_up = True
        self.means = info
        self.problem = self._absent() if info is None else self._unlike(info)
        if self.problem is not None:
            self._on_problem(self.problem)

    def _absent(self) -> str:
        if self._version is None:
            return f"{self._model} does not serve; see GET /v1/models/{self._model}"
        if isinstance(self._version, int):
            return f"{self._model} version {self._version} does not serve; see GET /v1/models/{self._model}"
        return (
            f"{self._model} has no alias {self._version!r}, or its version does not serve; see GET "
            f"/v1/models/{self._model}"
        )

    def _unlike(self, info: ModelInfo) -> str | None:
        own = self._own
        try:
            fit(own.signature, info.signature)
        except UnlikeError as error:
            return f"{info.name} version {info.version} is not like {own.name} version {own.version}: {error}"
        return None
