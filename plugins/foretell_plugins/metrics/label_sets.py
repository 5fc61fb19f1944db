"""What tells the requests of one count from those of another: bounded, whatever callers send."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from foretell.prediction import RequestRecord

__all__ = ["OTHER", "LabelSet", "label_set_of"]

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
_REJECTIONS: Final = frozenset({403, 429, 503})
_CLIENT_GONE: Final = 499
_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class LabelSet(msgspec.Struct, frozen=True, array_like=True):
    """What requests of one kind have in common.

    Attributes:
        model: The model's name; empty if the request named none that exists.
        version: The version's number; 0 if there is none.
        protocol: The wire protocol.
        method: The HTTP method, or ``_OTHER``.
        route: The path as it is documented; empty if there is nothing at the path.
        status: The HTTP status.
        error: The kind of exception, in words joined by ``_``; empty if there was none.
        cache: What a cache did; empty if none was asked.
        degraded: Why something else answered; empty if nothing did.
        served_by: What answered in its place; empty if nothing did.
        predicts: Whether a prediction was asked.
    """

    model: str
    version: int
    protocol: str
    method: str
    route: str
    status: int
    error: str = ""
    cache: str = ""
    degraded: str = ""
    served_by: str = ""
    predicts: bool = True

    @property
    def is_prediction(self) -> bool:
        """Whether a prediction was asked, and not what is known of a model, or that the store be changed."""
        return self.method == "POST" and self.predicts

    @property
    def outcome(self) -> str:
        """How it ended; `OTHER`: ``other``.

        ``success``, ``degraded``, ``client_error``, ``client_gone``, ``rejected`` or ``error``. A request is rejected if nothing is wrong with it but the server would not answer it: 403, 429 and 503.
        """
        if not self.status:
            return "other"
        if self.status < 400:
            return "degraded" if self.degraded else "success"
        if self.status == _CLIENT_GONE:
            return "client_gone"
        if self.status in _REJECTIONS:
            return "rejected"
        return "client_error" if self.status < 500 else "error"


OTHER: Final = LabelSet("", 0, "other", "POST", "", 0)
"""Counts what finds no place any more."""


def label_set_of(record: RequestRecord) -> LabelSet:
    """The label set of a request. A model's name and a version only ever come from what was loaded."""
    failure = record.failure
    return LabelSet(
        record.model,
        record.version,
        record.protocol,
        record.method if record.method in _METHODS else "_OTHER",
        record.route,
        record.status,
        "" if failure is None else _words(type(failure).__name__),
        record.cache or "",
        record.degraded or "",
        record.served_by or "",
        record.predicts,
    )


def _words(name: str) -> str:
    return _WORD.sub("_", name.removesuffix("Error")).lower()
