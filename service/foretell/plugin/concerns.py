"""The layer of a plugin that goes around some requests only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from foretell.plugin.blame import Blame

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from foretell.prediction import PredictRequest, PredictResponse, RequestRecord, Respond

__all__ = ["Concerns", "where_it_concerns"]

Concerns: TypeAlias = "Callable[[RequestRecord], object]"
"""Says whether a plugin goes around a request; a plugin's own, so it may give anything."""


def where_it_concerns(concerns: Concerns, layer: Respond, call_next: Respond, blame: Blame) -> Respond:
    """The plugin's layer for the requests that concern it; the others do not enter it.

    Args:
        concerns: The plugin's `concerns`.
        layer: Its layer.
        call_next: The rest of the chain.
        blame: Judges what it does.
    """

    def respond(request: PredictRequest) -> PredictResponse | Awaitable[PredictResponse]:
        try:
            concerned = concerns(request.record)
            if concerned is not True and concerned is not False:
                raise blame.no_answer("concerns", concerned)  # noqa: TRY301 - as what the plugin raises
        except BaseException as error:  # noqa: BLE001 - the boundary of a plugin: whatever it raises is judged
            blame.judge(error, "concerns", request)
            return call_next(request)
        return layer(request) if concerned else call_next(request)

    return respond
