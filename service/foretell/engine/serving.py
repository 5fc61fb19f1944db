"""How loaded versions come to serve: made into what serves them, looked at by plugins, stood in for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from foretell.engine.arrival import Refusal
from foretell.engine.resident import Basis, Resident
from foretell.engine.stand_in import StandIn
from foretell.errors import ForetellError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from foretell.engine.loader import Loader
    from foretell.engine.model import Model
    from foretell.engine.shelf import Shelf
    from foretell.engine.use import Use
    from foretell.engine.version import Version
    from foretell.prediction import ModelInfo
    from foretell.store.model_config import ModelConfig

__all__ = ["Serving"]

S = TypeVar("S")
"""What a loaded version is made into by whoever serves it."""


class Serving(Generic[S]):
    """How loaded versions come to serve. Plugins may count on being called one at a time: it stays on the event loop.

    Args:
        loader: Makes what can stand in the place of a version.
        serve: Makes a loaded version into what serves it.
        stand_in: The same for what stands where a version failed to load; None if nothing can answer for it.
        review: Is handed what was loaded, and says why a version among it must not serve, by model name and number.
        use_of: Who uses what serves a version.
    """

    def __init__(
        self,
        loader: Loader,
        *,
        serve: Callable[[Version, ModelConfig], S],
        stand_in: Callable[[StandIn, ModelConfig], S | None],
        review: Callable[[Sequence[ModelInfo]], Mapping[tuple[str, int], str]],
        use_of: Callable[[S], Use],
    ) -> None:
        self._loader = loader
        self._serve = serve
        self._stand_in = stand_in
        self._review = review
        self._use_of = use_of

    def take(self, version: Version, basis: Basis, config: ModelConfig) -> Resident[S] | Refusal:
        """A loaded version, ready to serve, or why it does not."""
        basis = msgspec.structs.replace(basis, plugins=config.plugins)
        try:
            served = self._serve(version, config)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong with a version, it harms no other
            return Refusal(_reason(error), basis, stand_in=StandIn(version.info, version.parser))
        return Resident(version, served, self._use_of(served), basis)

    def retake(self, resident: Resident[S], basis: Basis, config: ModelConfig) -> Refusal | None:
        """Let the plugins go around a version in memory anew; if they cannot, it serves as before, and this is why."""
        try:
            served = self._serve(resident.version, config)
        except Exception as error:  # noqa: BLE001 - as above
            return Refusal(_reason(error), basis)
        resident.serve_by(served, self._use_of(served), basis)
        return None

    def review(self, residents: Sequence[Resident[S]]) -> dict[tuple[str, int], Refusal]:
        """Let plugins look at versions that callers can already be given, and say why some must not serve."""
        for resident in residents:
            resident.reviewed = True
        by_key = {(each.info.name, each.info.version): each for each in residents}
        if not residents:
            return {}
        reasons = self._review([each.info for each in residents])
        return {
            key: Refusal(reason, by_key[key].basis, "any change", replaceable=False)
            for key, reason in reasons.items()
            if key in by_key
        }

    def add_stand_ins(self, model: Model[S], shelf: Shelf[S]) -> None:
        """Put something where versions failed, or are absent though an alias or the default names them."""
        infos = [resident.info for _, resident in sorted(shelf.residents.items())]
        absent = (model.failures.keys() | model.config.named) - model.versions.keys() - model.unloaded.keys()
        for number in sorted(absent):
            refusal = shelf.refusals.get(number)
            if refusal is not None and not refusal.replaceable:
                continue
            made = None if refusal is None else refusal.stand_in
            if made is None:
                like = shelf.infos.get(number) or (infos[-1] if infos else None)
                made = self._loader.stand_in(model.name, number, None, model.config, like=like)
            try:
                served = None if made is None else self._stand_in(made, model.config)
            except ForetellError:  # what keeps it from being served has kept the version itself
                served = None
            if served is not None:
                model.stand_ins[number] = served
                model.failures.setdefault(number, "it is absent from the store")
        if model.default is None and model.stand_ins:
            named = model.config.default_version
            model.default_stand_in = model.stand_ins.get(max(model.stand_ins) if named is None else named)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ForetellError) else f"{type(error).__name__}: {error}"
