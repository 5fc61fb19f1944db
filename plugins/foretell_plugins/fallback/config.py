"""What a team sets: the chain of a model, how long each attempt may take, and when its breaker opens."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from foretell.store.layout import check_alias, check_model_name, parse_version
from foretell_plugins.fallback.breaker import BreakerRules

__all__ = ["PREVIOUS", "Config", "TargetConfig"]

PREVIOUS = "previous"

_Positive = Annotated[float, Meta(gt=0, le=86_400)]  # a day: no clock counts in infinities
_Count = Annotated[int, Meta(ge=1, le=1_000_000)]
_Rate = Annotated[float, Meta(gt=0, le=1)]
_Version = Annotated[int, Meta(ge=1)] | str


class TargetConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One link of a chain, in full.

    Attributes:
        value: A fixed answer: for each output, its value for one row. Nothing else may be set beside it.
        model: The model to ask; this one if only a version is given.
        version: Its version: a number, an alias, or ``previous`` for the highest one below this version. The one
            that answers by default if only a model is given.
        inputs: The input of this model that each input of the other is filled from, where their names differ.
        outputs: The output of the other model that each output of this one is taken from, where their names differ.
        give_up_s: How long it may take, in place of the chain's, seconds.
    """

    value: dict[str, Any] | None = None
    model: str | None = None
    version: _Version | None = None
    inputs: dict[str, str] | None = None
    outputs: dict[str, str] | None = None
    give_up_s: _Positive | None = None

    def __post_init__(self) -> None:
        asks = self.model is not None or self.version is not None
        more = self.inputs is not None or self.outputs is not None or self.give_up_s is not None
        if (self.value is None) is not asks or (self.value is not None and more):
            raise ValueError("a target has either `value` alone, or `model`, `version` or both")
        if self.model is not None:
            check_model_name(self.model)
        if isinstance(self.version, str):
            check_alias(self.version)

    @classmethod
    def parse(cls, text: str) -> TargetConfig:
        """Read the short form.

        Raises:
            ValueError: It has none of the forms.
        """
        kind, _, rest = text.partition(":")
        if kind == "version" and rest:
            return cls(version=parse_version(rest) or rest)
        if kind == "model" and rest:
            model, _, version = rest.partition("/")
            return cls(model=model, version=(parse_version(version) or version) if version else None)
        raise ValueError(
            f"{text!r} is no target: write 'version:previous', 'version:<number or alias>', 'model:<name>', "
            "'model:<name>/<version>', {value = {…}} or {model = '<name>', …}"
        )


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fallback of a model.

    Attributes:
        chain: What is asked in place of the model, in this order, until something answers.
        give_up_s: How long the model, and each that is asked in its place, may take, seconds; if it is not set, a
            part of what is left of the request's deadline, so that the rest of the chain still has time.
        failure_rate: The breaker opens when this fraction of the requests in the window has failed.
        window_s: The length of that window, seconds.
        minimum: How many requests there must be in the window before the rate counts.
        max_given_up: So many runs in a row that took too long open the breaker whatever the rate, because each may
            still hold a thread.
        open_s: How long the breaker stays open before it lets probes through, seconds.
        probes: How many probes may go on at once; that many must succeed, and none fail, for it to close.
    """

    chain: tuple[str | TargetConfig, ...] = ()
    give_up_s: _Positive | None = None
    failure_rate: _Rate = 0.5
    window_s: _Positive = 10.0
    minimum: _Count = 10
    max_given_up: _Count = 5
    open_s: _Positive = 5.0
    probes: _Count = 1

    def __post_init__(self) -> None:
        values = [at for at, target in enumerate(self.targets()) if target.value is not None]
        if values and values[0] != len(self.chain) - 1:
            raise ValueError(
                "a value always answers, so that nothing can come after it: put it last in `chain`"
            )

    def targets(self) -> list[TargetConfig]:
        """The chain with every link in full."""
        return [TargetConfig.parse(each) if isinstance(each, str) else each for each in self.chain]

    def rules(self) -> BreakerRules:
        """When the breaker opens and closes."""
        return BreakerRules(
            failure_rate=self.failure_rate,
            window_s=self.window_s,
            minimum=self.minimum,
            max_given_up=self.max_given_up,
            open_s=self.open_s,
            probes=self.probes,
        )
