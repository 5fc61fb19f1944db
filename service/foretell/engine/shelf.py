"""Everything of one model: what the store says of it, what is loaded, on its way, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from foretell.engine.model import Absence, Model
from foretell.engine.resident import Basis, Resident
from foretell.store.load_policy import chosen
from foretell.store.model_config import ModelConfig

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from collections.abc import Set as AbstractSet

    from foretell.engine.arrival import Arrival, Refusal, Retry
    from foretell.prediction import ModelInfo
    from foretell.store.catalog import CatalogModel
    from foretell.store.stamp import Stamp

__all__ = ["Shelf"]

S = TypeVar("S")
"""What a loaded version is made into by whoever serves it."""


class Shelf(Generic[S]):
    """Everything of one model.

    Args:
        entry: What the store says of it.
        stamps: The stamps of its versions.
        asleep: Whether it is loaded when somebody asks.
        infos: What was known of its versions before, by number.

    Attributes:
        residents: The versions in memory, by number.
        refusals: Why versions do not serve, or why new files of one that does were not taken.
        arrivals: The versions on their way.
        model: What callers see; None before they see it for the first time.
        built: The same as `build` made it.
        waiting: How many callers wait for it to wake up.
        replaced: What was in memory under the model's name before, and is let go when this is seen.
    """

    def __init__(
        self,
        entry: CatalogModel,
        stamps: dict[int, Stamp],
        *,
        asleep: bool = False,
        infos: Mapping[int, ModelInfo] | None = None,
    ) -> None:
        self.entry = entry
        self.stamps = stamps
        self._readable = None if entry.config is None else entry
        self.asleep = asleep
        self.infos = dict(infos or {})
        self.residents: dict[int, Resident[S]] = {}
        self.refusals: dict[int, Refusal] = {}
        self.arrivals: dict[int, Arrival] = {}
        self.model: Model[S] | None = None
        self.built: Model[S] | None = None
        self.waiting = 0
        self.replaced: list[Resident[S]] = []

    @property
    def name(self) -> str:
        """The model's name."""
        return self.entry.name

    @property
    def config(self) -> ModelConfig | None:
        """What model.toml says. While it cannot be read, what it said before, but None as long as the model serves.

        What serves is to stay as it is then; what sleeps, or does not serve, has the former file to go by.
        """
        if self.entry.config is not None:
            return self.entry.config
        serves = self.model is not None and bool(self.model.versions) and not self.asleep
        return None if serves or self._readable is None else self._readable.config

    @property
    def asked_ns(self) -> int:
        """When one of its versions was asked last, ns."""
        return max((resident.asked_ns for resident in self.residents.values()), default=0)

    def basis(self, number: int) -> Basis:
        """What loading a version depends on now."""
        return Basis.of(self.stamps[number], self.config or ModelConfig())

    def wanted(self) -> set[int]:
        """The versions that are to be loaded."""
        config = self.config
        if config is None:
            return set()
        refused = {number for number in self.refusals if number not in self.residents}
        return chosen(config.load, self.entry.versions, named=config.named, refused=refused)

    def missing(self, retry: Collection[Retry] = ()) -> list[int]:
        """The versions that are to be loaded, or loaded anew, and are not on their way.

        Args:
            retry: Which of those that were refused are to be tried again, beside those that have changed.
        """
        return [
            number for number in sorted(self.wanted() - self.arrivals.keys()) if self._needs(number, retry)
        ]

    def misfits(self) -> list[Resident[S]]:
        """The versions in memory that plugins are to go around anew, since model.toml says other things of them."""
        config = self.config
        if config is None:
            return []
        plugins = config.plugins
        return [
            resident
            for number, resident in sorted(self.residents.items())
            if resident.basis.plugins != plugins
            and number in self.entry.versions
            and resident.basis.loads_like(self.basis(number))
            and not (number in self.refusals and self.refusals[number].basis == self.basis(number))
        ]

    def unwanted_arrivals(self) -> list[Arrival]:
        """The versions on their way that nobody wants any longer, or not like that."""
        if self.config is None:
            return []
        wanted = self.wanted()
        return [
            arrival
            for number, arrival in self.arrivals.items()
            if number not in wanted or arrival.terms != self.basis(number).terms
        ]

    def follow(self, entry: CatalogModel, stamps: dict[int, Stamp]) -> None:
        """Take what the store says now.

        What was refused is forgotten where it is not there any longer, and where what is loaded is back in its place.
        While model.toml cannot be read, versions that are new do not count.
        """
        if entry.config is not None:
            self._readable = entry
        elif self._readable is not None:
            known = self._readable.versions.keys()
            versions = {number: folder for number, folder in entry.versions.items() if number in known}
            entry = msgspec.structs.replace(entry, versions=versions)
        self.entry = entry
        self.stamps = stamps
        for number, resident in self.residents.items():
            if number in entry.versions and resident.basis == self.basis(number):
                self.refusals.pop(number, None)
        for number in self.refusals.keys() - self.entry.versions.keys():
            del self.refusals[number]

    def unreviewed(self) -> list[Resident[S]]:
        """The versions in memory that plugins have not looked at."""
        return [resident for _, resident in sorted(self.residents.items()) if not resident.reviewed]

    def refuse(self, number: int, refusal: Refusal) -> Resident[S] | None:
        """Keep a version from serving; what served under its number before serves on.

        Returns:
            What was in memory and is to be let go.
        """
        self.refusals[number] = refusal
        resident = self.residents[number]
        if resident.go_back():
            return None
        del self.residents[number]
        if resident.predecessor is not None:
            self.residents[number], resident.predecessor = resident.predecessor, None
        return resident

    def surplus(self) -> list[Resident[S]]:
        """Take out what is in memory and serves nobody any longer; to be called after `model` has been set."""
        serving = self.model.versions if self.model is not None else {}
        gone = [self.residents.pop(number) for number in sorted(self.residents.keys() - serving.keys())]
        before = [resident.accept() for resident in (*self.residents.values(), *gone)]
        gone += [*self.replaced, *(resident for resident in before if resident is not None)]
        self.replaced = []
        return gone

    def build(self) -> Model[S]:
        """The model as callers are to see it now, without what stands in for versions."""
        entry, config = self.entry, self.config
        if config is None:
            if self.model is not None and self.model.versions:
                return msgspec.structs.replace(self.model, error=entry.error)
            failures = dict.fromkeys(entry.versions, entry.error or "")
            return Model(entry.name, ModelConfig(), {}, failures, entry.error, None)
        if self.asleep:
            unloaded: dict[int, Absence] = dict.fromkeys(entry.versions, "asleep")
            return Model(entry.name, config, {}, {}, entry.error, None, unloaded=unloaded, asleep=True)
        wanted = self.wanted()
        kept = self._kept(config)
        shown, held = self._held(config, wanted & self.residents.keys(), kept)
        numbers = wanted & self.residents.keys() | shown.named & kept
        if not numbers and self.arrivals:  # nothing of the new is there yet: the old serves until then
            numbers = self._presented()
        versions = {number: self.residents[number].served for number in sorted(numbers)}
        failures = {
            number: refusal.reason
            for number, refusal in sorted(self.refusals.items())
            if number in wanted and number not in versions
        }
        outdated = {number: refusal.reason for number, refusal in self.refusals.items() if number in versions}
        model = Model(entry.name, shown, versions, failures, None, None, outdated=outdated, held=held)
        model.unloaded = {
            number: "loading" if number in self.arrivals else "policy"
            for number in entry.versions
            if number not in versions and number not in failures
        }
        self._choose_default(model, config)
        if entry.error is not None:
            model.error = entry.error
        return model

    def _needs(self, number: int, retry: Collection[Retry]) -> bool:
        """Whether it is worth loading a version."""
        basis = self.basis(number)
        resident, refusal = self.residents.get(number), self.refusals.get(number)
        if refusal is not None and refusal.basis == basis:
            return refusal.retry in retry
        return resident is None or not resident.basis.loads_like(basis)

    def _presented(self) -> set[int]:
        """The versions in memory that callers see."""
        return set() if self.model is None else self.model.versions.keys() & self.residents.keys()

    def _kept(self, config: ModelConfig) -> set[int]:
        """The versions that may go on serving because what is to take their place does not.

        Those that were removed are not among them, unless what takes their place is on its way.
        """
        awaited = bool(config.named & self.arrivals.keys())
        return {number for number in self._presented() if awaited or number in self.entry.versions}

    def _held(
        self, config: ModelConfig, serving: AbstractSet[int], kept: AbstractSet[int]
    ) -> tuple[ModelConfig, dict[str, int]]:
        """The configuration with what was moved to a version that does not serve left where it was.

        Returns:
            Also the aliases that are left behind because the version cannot serve, and where they should be.
        """
        old = self.model
        if old is None or not kept:
            return config, {}
        aliases: dict[str, int] = {}
        held: dict[str, int] = {}
        for alias, number in config.aliases.items():
            before = old.config.aliases.get(alias)
            if number in serving or before is None or before not in kept:
                aliases[alias] = number
            else:
                aliases[alias] = before
                if number not in self.arrivals:
                    held[alias] = number
        config = msgspec.structs.replace(config, aliases=aliases)
        default, was_default = config.default_version, old.default_version
        if default is not None and default not in serving | kept and was_default in kept:
            config = msgspec.structs.replace(config, default=was_default)
        return config, held

    def _choose_default(self, model: Model[S], config: ModelConfig) -> None:
        """Set what answers by default, and what is wrong with that."""
        wanted = config.default_version
        number = model.config.default_version
        if number is None:
            model.default = model.versions[max(model.versions)] if model.versions else None
        else:
            model.default = model.versions.get(number)
        if not self.entry.versions and not model.versions:
            model.error = "it has no versions"
        elif wanted is None:
            if model.failures and not model.versions:
                model.error = "none of its versions can serve; each has its reason"
        elif wanted not in model.versions and wanted not in self.arrivals:
            state = "failed to load" if wanted in model.failures else "is absent"
            goes_on = "" if model.default is None else f"; version {number} goes on answering"
            model.error = f"its default, version {wanted}, {state}{goes_on}"
