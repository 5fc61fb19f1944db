"""What may answer in place of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from foretell_plugins.fallback.config import PREVIOUS, TargetConfig
from foretell_plugins.fallback.likeness import Fit, UnlikeError, fit

if TYPE_CHECKING:
    from foretell.plugin import ModelInfo, Models, PredictRequest
    from foretell.tensors import Array
    from foretell_plugins.fallback.judge import Judge

__all__ = ["Found", "ModelTarget"]


class Found(msgspec.Struct, frozen=True):
    """A loaded version that a target means now.

    Attributes:
        info: The version.
        judge: Says what its failures mean, and has its breaker.
        fit: How it stands in for the model; None if it cannot.
        problem: Why it cannot.
    """

    info: ModelInfo
    judge: Judge
    fit: Fit | None
    problem: str | None = None

    @property
    def name(self) -> str:
        """For people: ``iris/1``."""
        return f"{self.info.name}/{self.info.version}"

    def translate(self, request: PredictRequest) -> PredictRequest:
        """The request as this version takes it."""
        if self.fit is None or not self.fit.renames:
            return request
        inputs = {theirs: request.inputs[ours] for theirs, ours in self.fit.inputs.items()}
        wanted = None
        if request.outputs is not None:  # two of ours may be taken from one of theirs
            wanted = tuple(dict.fromkeys(self.fit.outputs[ours] for ours in request.outputs))
        return msgspec.structs.replace(request, inputs=inputs, outputs=wanted)

    def translate_back(self, request: PredictRequest, outputs: dict[str, Array]) -> dict[str, Array]:
        """Its answer as the model would have given it."""
        if self.fit is None or not self.fit.renames:
            return outputs
        names = tuple(self.fit.outputs) if request.outputs is None else request.outputs
        return {ours: outputs[self.fit.outputs[ours]] for ours in names}


class ModelTarget:
    """Another version, or another model.

    What it means is looked up each time, because aliases move and models are loaded anew; what was found is checked
    once.

    Args:
        config: What the team set.
        own: The version that it stands in for.
        models: The models of the server.
        judge_of: The judge of a version.
    """

    def __init__(
        self, config: TargetConfig, own: ModelInfo, models: Models, judge_of: Callable[[ModelInfo], Judge]
    ) -> None:
        self.model = own.name if config.model is None else config.model
        self.give_up_s = config.give_up_s
        self._config = config
        self._own = own
        self._models = models
        self._judge_of = judge_of
        self._found: Found | None = None

    def __str__(self) -> str:
        version = self._config.version
        if self._config.model is None:
            return f"version:{version}"
        return f"model:{self.model}" + ("" if version is None else f"/{version}")

    @property
    def may_be_absent(self) -> bool:
        """Whether it is in order that it means nothing: the first version has none before it."""
        return self._means_previous or self._means_itself(self._models.info(self.model, self._config.version))

    def find(self) -> Found | None:
        """The version that it means now; None if there is none, or if it is the one that cannot answer."""
        if self._means_previous:
            lower = [info for info in self._models.infos(self.model) if info.version < self._own.version]
            info = lower[-1] if lower else None
        else:
            info = self._models.info(self.model, self._config.version)
        if info is None or self._means_itself(info):
            return None
        if self._found is None or self._found.info is not info:
            self._found = self._check(info)
        return self._found

    @property
    def _means_previous(self) -> bool:
        return self._config.version == PREVIOUS and self.model == self._own.name

    def _means_itself(self, info: ModelInfo | None) -> bool:
        own = self._own
        named = self._config.model in {None, own.name} and self._config.version == own.version
        return named or (info is not None and (info.name, info.version) == (own.name, own.version))

    def _check(self, info: ModelInfo) -> Found:
        judge = self._judge_of(info)
        try:
            pairs = fit(self._own.signature, info.signature, self._config.inputs, self._config.outputs)
        except UnlikeError as error:
            return Found(info, judge, None, f"{info.name} version {info.version} cannot stand in: {error}")
        return Found(info, judge, pairs)
