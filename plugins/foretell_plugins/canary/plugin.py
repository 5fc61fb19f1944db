"""The plugin: which version answers a request that names none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final
from weakref import WeakValueDictionary

from foretell.plugin import Plugin, Stage
from foretell.store.layout import parse_version
from foretell_plugins.canary.config import CanaryConfig
from foretell_plugins.canary.counterpart import Counterpart
from foretell_plugins.canary.draw import make_draw
from foretell_plugins.canary.split import Split

if TYPE_CHECKING:
    from foretell.plugin import Choose, Host, ModelInfo, RequestRecord

__all__ = ["HEADER", "Canary"]

HEADER: Final = b"x-foretell-canary"


class _Choice:
    """Chooses in place of one version, while that answers by default.

    Attributes:
        candidates: What each name of the weights means.
    """

    def __init__(self, model: ModelInfo, config: CanaryConfig, call_next: Choose, host: Host) -> None:
        self.candidates = {name: _candidate(model, name, host) for name in config.weights}
        self._headers = {name: name.encode() for name in config.weights}
        self._draw = make_draw(config.key, model.name if config.salt is None else config.salt)
        self._split = Split(config.weights)
        self._default = model.version
        self._call_next = call_next

    def choose(self, record: RequestRecord) -> int:
        """The number of the version that answers a request."""
        name = self._split.at(self._draw(record))
        if name is None:
            return self._call_next(record)
        info = self.candidates[name].find()
        if info is None or info.version == self._default:
            return self._call_next(record)
        record.add_header(HEADER, self._headers[name])
        return info.version


class Canary(Plugin[CanaryConfig]):
    """Lets other versions of a model answer a part of the requests that name none."""

    stage: ClassVar[Stage] = Stage.SHADOW

    def __init__(self, config: CanaryConfig) -> None:
        super().__init__(config)
        self._host: Host | None = None
        # They live as long as the chains that hold them.
        self._choices: WeakValueDictionary[tuple[str, int], _Choice] = WeakValueDictionary()

    def on_start(self, host: Host) -> None:
        """See `Plugin`."""
        self._host = host

    def wrap_choice(self, call_next: Choose, model: ModelInfo) -> Choose:
        """See `Plugin`."""
        config = self.config_for(model.name)
        if self._host is None or not config.weights:
            return call_next
        choice = _Choice(model, config, call_next, self._host)
        self._choices[model.name, model.version] = choice
        return choice.choose

    def on_models(self, loaded: Sequence[ModelInfo]) -> Mapping[tuple[str, int], str]:
        """See `Plugin`: tells of candidates that cannot answer. Nothing is refused for them: the default answers."""
        for name in sorted({info.name for info in loaded}):
            default = None if self._host is None else self._host.models.info(name)
            choice = None if default is None else self._choices.get((name, default.version))
            if choice is not None:
                for candidate in choice.candidates.values():
                    candidate.find()
        return {}

    def status(self, model: str, version: int) -> Mapping[str, Any] | None:
        """See `Plugin`: for the version that answers by default, the weights and what they mean now."""
        choice = self._choices.get((model, version))
        default = None if self._host is None else self._host.models.info(model)
        if choice is None or (default is not None and default.version != version):
            return None
        config = self.config_for(model)
        told: dict[str, Any] = {}
        for name, weight in sorted(config.weights.items()):
            info = choice.candidates[name].find()
            means = (
                {"problem": choice.candidates[name].problem} if info is None else {"version": info.version}
            )
            told[name] = {"percent": weight, **means}
        return {"by": config.key or "chance", "weights": told}


def _candidate(model: ModelInfo, name: str, host: Host) -> Counterpart:
    def warn(problem: str) -> None:
        host.log.warning("canary cannot answer", model=model.name, canary=name, reason=problem)

    return Counterpart(model, host.models, model.name, parse_version(name) or name, on_problem=warn)
