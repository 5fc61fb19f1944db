"""Which requests are traced: decided on the raw headers, before anything of OpenTelemetry's is touched."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final, Literal

from foretell_plugins.tracing.traceparent import (
    Parent,
    parent_of,
    parse_traceparent,
    says_unsampled,
)

if TYPE_CHECKING:
    from foretell.prediction import Headers

__all__ = ["SAMPLERS", "Decide", "SamplerName", "make_decide"]

SamplerName = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]
"""The samplers, by the names of ``OTEL_TRACES_SAMPLER``."""

SAMPLERS: Final[tuple[SamplerName, ...]] = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)

Decide = Callable[["Headers"], "Parent | None"]
"""From the headers of a request to where its span belongs; None if it is not traced."""

_SAMPLED: Final = 1
_LOW: Final = (1 << 64) - 1


def make_decide(sampler: SamplerName, ratio: float, random: Random, *, heeds_callers: bool) -> Decide:
    """The decision of a sampler.

    A ratio is compared with the low 64 bits of the trace's identity, as OpenTelemetry's own samplers do; a trace that
    begins here draws its identity first, so that samplers downstream come to the same decision.

    Args:
        sampler: Its name.
        ratio: The fraction of traces that is sampled, 0 to 1; for the two samplers that have one.
        random: Where identities of traces come from.
        heeds_callers: Whether ``traceparent`` is read.
    """
    parent_based = sampler.startswith("parentbased_")
    bound = {"always_on": 1 << 64, "always_off": 0}.get(
        sampler.removeprefix("parentbased_"), round(ratio * (1 << 64))
    )
    getrandbits = random.getrandbits

    def begin() -> Parent | None:
        low = getrandbits(64)
        if low >= bound:
            return None
        return Parent(getrandbits(64) << 64 | low or 1, 0, _SAMPLED)

    def decide_by_parent(headers: Headers) -> Parent | None:
        # In one piece, though `traceparent_of` and `begin` do parts of it: every request comes by here, and mostly
        # with cold caches, where each function more costs as much as all that it does.
        value = None
        for name, each in headers:
            if name == b"traceparent":
                value = each if value is None else b""  # two of them say nothing
        if value is not None:
            if says_unsampled(value):
                return None
            parent = parse_traceparent(value)
            if parent is not None:
                return parent if parent.flags & _SAMPLED else None
        low = getrandbits(64)
        if low >= bound:
            return None
        return Parent(getrandbits(64) << 64 | low or 1, 0, _SAMPLED)

    def decide_anew(headers: Headers) -> Parent | None:
        parent = parent_of(headers)
        if parent is None:
            return begin()
        if parent.trace_id & _LOW >= bound:
            return None
        return parent._replace(flags=parent.flags | _SAMPLED)

    def decide_alone(headers: Headers) -> Parent | None:
        del headers
        return begin()

    if not heeds_callers:
        return decide_alone
    return decide_by_parent if parent_based else decide_anew
