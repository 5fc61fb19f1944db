"""The way around a version for requests that are traced: their span is the current one while the version answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from foretell.plugin import PredictRequest, PredictResponse, Shortcut

if TYPE_CHECKING:
    from foretell.plugin import ModelInfo
    from foretell_plugins.tracing.spans import Spans

__all__ = ["NOTE", "TracedVersion"]

NOTE: Final = "tracing"
"""Where a record keeps the place of its span, and then the span."""

Leave: TypeAlias = Callable[[], object]


class TracedVersion(Shortcut[Leave]):
    """Goes around the requests of a version that are traced.

    Args:
        spans: Gives what makes spans; None when the server is about to end.
        model: The version.
    """

    def __init__(self, spans: Callable[[], Spans | None], model: ModelInfo) -> None:
        self._spans = spans
        self._model = model

    def begin(self, request: PredictRequest) -> Leave:
        """Open the span, and make it the current one."""
        record, spans = request.record, self._spans()
        if spans is None:
            return _nothing
        notes: dict[str, Any] = record.notes or {}
        opened = spans.open(record, notes[NOTE], self._model)
        record.note(NOTE, opened)
        return spans.enter(opened, record.headers)

    def end(self, request: PredictRequest, begun: Leave, response: PredictResponse) -> None:
        """Make what was current before the current one again."""
        del request, response
        begun()

    def failed(self, request: PredictRequest, begun: Leave, error: BaseException) -> bool:
        """The same; nothing answers in place of what failed."""
        del request, error
        begun()
        return False


def _nothing() -> None:
    """There is nothing to leave."""
