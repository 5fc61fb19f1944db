"""What a team sets: which part of the requests goes to which version, and what decides it."""

from __future__ import annotations

import math
import re
from typing import Annotated, Final

import msgspec

from foretell.store.layout import check_alias, parse_version

__all__ = ["REQUEST_ID", "TRACE", "CanaryConfig", "header_of"]

TRACE: Final = "traceparent"
REQUEST_ID: Final = "request-id"

_HEADER: Final = re.compile(r"header:([!#$%&'*+.^_`|~0-9A-Za-z-]+)")
"""Source: RFC 9110, section 5.1."""

_WHOLE: Final = 100 + 1e-9
"""Thirds are not exact."""


class CanaryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The canary of a model.

    Attributes:
        weights: How many per cent of the requests that name no version each of these versions answers, by alias or
            number. The default answers the rest.
        key: What decides for a request: ``header:<name>``, ``traceparent`` (the trace that it belongs to) or
            ``request-id``. The same value is always answered by the same part. Chance, if it is not set or the
            request has none.
        salt: Keys are shuffled with it; the model's name if it is not set. Models of the same salt and the same
            weights send the same keys to their canaries.
    """

    weights: dict[str, Annotated[float, msgspec.Meta(ge=0, le=100)]] = {}
    key: str | None = None
    salt: str | None = None

    def __post_init__(self) -> None:
        for name in self.weights:
            if parse_version(name) is None:
                check_alias(name)
        total = math.fsum(self.weights.values())
        if total > _WHOLE:
            raise ValueError(f"the weights make {total:g} per cent together; leave at most 100")
        if self.key not in {None, TRACE, REQUEST_ID} and header_of(self.key) is None:
            raise ValueError(
                f"{self.key!r} cannot be the key: write 'header:<name>', {TRACE!r} or {REQUEST_ID!r}"
            )


def header_of(key: str | None) -> bytes | None:
    """The header that a key names, in lower case; None if it names none."""
    match = None if key is None else _HEADER.fullmatch(key)
    return None if match is None else match[1].lower().encode()
