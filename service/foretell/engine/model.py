"""One model of the registry: its versions by number and alias, and the one that answers by default."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from foretell.errors import NotFoundError, NotReadyError
from foretell.excerpts import shortened
from foretell.store.model_config import ModelConfig

__all__ = ["Model", "choose_default", "named_default", "without"]

S = TypeVar("S")
"""What a loaded version is made into by whoever serves it."""


class Model(msgspec.Struct, Generic[S]):
    """One model of the registry.

    Attributes:
        name: Its name.
        config: What the team decided about it.
        versions: The versions that serve, by number.
        failures: Why each of the others does not.
        error: Why callers who name no version get no answer; None if nothing is wrong.
        default: What answers when a caller names no version; None while nothing can.
        stand_ins: What stands where versions failed to load, if something can answer for them. Versions that an
            alias or the default names and that are absent count among the failures then.
        default_stand_in: The one of them that stands in place of `default`.
    """

    name: str
    config: ModelConfig
    versions: dict[int, S]
    failures: dict[int, str]
    error: str | None
    default: S | None
    stand_ins: dict[int, S] = {}
    default_stand_in: S | None = None

    @property
    def ready(self) -> bool:
        """Whether callers who name no version get an answer."""
        return self.default is not None

    def version(self, number: int) -> S:
        """What serves a version, or stands in its place.

        Raises:
            NotFoundError: The model has no such version.
            NotReadyError: The version failed to load, and nothing stands in its place.
        """
        served = self.versions.get(number) or self.stand_ins.get(number)
        if served is not None:
            return served
        if number in self.failures:
            raise NotReadyError(
                f"version {number} of {self.name!r} failed to load; see GET /v1/models/{self.name}"
            )
        known = ", ".join(map(str, sorted(self.versions | dict.fromkeys(self.failures)))) or "none"
        raise NotFoundError(f"model {self.name!r} has no version {shortened(str(number))}; it has: {known}")

    def alias(self, alias: str) -> S:
        """What serves the version that an alias points at.

        Raises:
            NotFoundError: The model has no such alias, or it points at a version that does not exist.
            NotReadyError: The version failed to load, or the model's aliases cannot be read.
        """
        number = self.config.aliases.get(alias)
        if number is None and self.error is not None and not self.versions:
            raise NotReadyError(f"model {self.name!r} cannot serve; see GET /v1/models/{self.name}")
        if number is None:
            known = ", ".join(sorted(self.config.aliases)) or "none"
            raise NotFoundError(f"model {self.name!r} has no alias {shortened(alias)!r}; it has: {known}")
        if number not in self.versions and number not in self.failures:
            known = ", ".join(map(str, sorted({*self.versions, *self.failures}))) or "none"
            raise NotFoundError(
                f"the alias {alias!r} of {self.name!r} points at version {number}, which does not exist; it has: {known}"
            )
        return self.version(number)

    @property
    def dangling(self) -> dict[str, int]:
        """The aliases that point at a version that does not serve, and that version."""
        return {
            alias: number
            for alias, number in sorted(self.config.aliases.items())
            if number not in self.versions
        }


def choose_default(model: Model[S]) -> S | None:
    """What `default` of model.toml names; without it, the highest version that serves. Sets `error` if it does not."""
    number = named_default(model.config)
    if number is None:
        if model.failures and not model.versions and model.error is None:
            model.error = "none of its versions can serve; each has its reason"
        return model.versions[max(model.versions)] if model.versions else None
    if number not in model.versions:
        model.error = f"its default, version {number}, " + (
            "failed to load" if number in model.failures else "is absent"
        )
    return model.versions.get(number)


def named_default(config: ModelConfig) -> int | None:
    """The version that `default` of model.toml names."""
    return config.aliases[config.default] if isinstance(config.default, str) else config.default


def without(model: Model[S], number: int, reason: str) -> Model[S]:
    """A model without one of its versions.

    Args:
        model: The model; it stays as it is.
        number: The version.
        reason: Why it does not serve.
    """
    left = {other: served for other, served in model.versions.items() if other != number}
    changed = msgspec.structs.replace(
        model, versions=left, failures={**model.failures, number: reason}, default=None
    )
    changed.default = choose_default(changed)
    return changed
