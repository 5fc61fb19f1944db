"""One model of the registry: its versions by number and alias, and the one that answers by default."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

import msgspec

from foretell.errors import AsleepError, NotFoundError, NotReadyError, StillLoadingError
from foretell.excerpts import shortened
from foretell.store.model_config import ModelConfig

__all__ = ["Absence", "Model"]

S = TypeVar("S")
"""What a loaded version is made into by whoever serves it."""

Absence = Literal["loading", "policy", "asleep"]
"""Why a version that exists is not loaded, though nothing is wrong with it: it is on its way, ``load`` in model.toml
leaves it out, or nobody has asked for it yet."""


class Model(msgspec.Struct, Generic[S]):
    """One model of the registry, as callers see it.

    Attributes:
        name: Its name.
        config: What the team decided about it. An alias, or `default`, that was moved to a version that cannot serve
            stays here where it was.
        versions: The versions that serve, by number.
        failures: Why each of the others does not.
        error: Why callers who name no version get no answer, or what is wrong though they do; None if nothing is.
        default: What answers when a caller names no version; None while nothing can.
        stand_ins: What stands where versions failed to load, if something can answer for them. Versions that an
            alias or the default names and that are absent count among the failures then.
        default_stand_in: The one of them that stands in place of `default`.
        unloaded: The versions that exist and are not loaded, and why.
        outdated: The versions that serve although other files stand in their place now, and why those do not.
        held: The aliases that stay where they were, and the version, which cannot serve, that they were moved to.
        asleep: Whether it is loaded when somebody asks.
    """

    name: str
    config: ModelConfig
    versions: dict[int, S]
    failures: dict[int, str]
    error: str | None
    default: S | None
    stand_ins: dict[int, S] = {}
    default_stand_in: S | None = None
    unloaded: dict[int, Absence] = {}
    outdated: dict[int, str] = {}
    held: dict[str, int] = {}
    asleep: bool = False

    @property
    def ready(self) -> bool:
        """Whether callers who name no version get an answer, be it after a while."""
        return self.default is not None or self.asleep

    @property
    def default_version(self) -> int | None:
        """The version that answers when a caller names none; None while none can."""
        return next((number for number, served in self.versions.items() if served is self.default), None)

    @property
    def numbers(self) -> list[int]:
        """Every version that is known, in rising order."""
        return sorted({*self.versions, *self.failures, *self.unloaded})

    def version(self, number: int) -> S:
        """What serves a version, or stands in its place.

        Raises:
            NotFoundError: The model has no such version, or is not to load it.
            NotReadyError: The version failed to load, and nothing stands in its place.
            StillLoadingError: It is being loaded.
            AsleepError: It is loaded when somebody asks.
        """
        served = self.versions.get(number) or self.stand_ins.get(number)
        if served is not None:
            return served
        if number in self.failures:
            raise NotReadyError(
                f"version {number} of {self.name!r} failed to load; see GET /v1/models/{self.name}"
            )
        absence = self.unloaded.get(number)
        if absence == "asleep":
            raise AsleepError(self.name)
        if absence == "loading":
            raise StillLoadingError(f"version {number} of {self.name!r} is still being loaded")
        if absence == "policy":
            raise NotFoundError(
                f"version {number} of {self.name!r} is not loaded: `load` in its model.toml leaves it out"
            )
        known = ", ".join(map(str, self.numbers)) or "none"
        raise NotFoundError(f"model {self.name!r} has no version {shortened(str(number))}; it has: {known}")

    def alias(self, alias: str) -> S:
        """What serves the version that an alias points at.

        Raises:
            NotFoundError: The model has no such alias, or it points at a version that does not exist.
            NotReadyError: The version failed to load, or the model's aliases cannot be read.
            StillLoadingError: It is being loaded.
            AsleepError: It is loaded when somebody asks.
        """
        number = self.config.aliases.get(alias)
        if number is None and self.error is not None and not self.versions and not self.asleep:
            raise NotReadyError(f"model {self.name!r} cannot serve; see GET /v1/models/{self.name}")
        if number is None:
            known = ", ".join(sorted(self.config.aliases)) or "none"
            raise NotFoundError(f"model {self.name!r} has no alias {shortened(alias)!r}; it has: {known}")
        if number not in self.numbers:
            known = ", ".join(map(str, self.numbers)) or "none"
            raise NotFoundError(
                f"the alias {alias!r} of {self.name!r} points at version {number}, which does not exist; it has: {known}"
            )
        return self.version(number)

    @property
    def dangling(self) -> dict[str, int]:
        """The aliases that point at a version that does not serve, and that version."""
        wanted = {**self.config.aliases, **self.held}
        return {
            alias: number
            for alias, number in sorted(wanted.items())
            if number not in self.versions and self.unloaded.get(number) != "asleep"
        }
