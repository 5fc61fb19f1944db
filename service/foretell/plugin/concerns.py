"""Which requests a plugin goes around, where it does not go around all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from foretell.plugin.blame import Blame
    from foretell.prediction import PredictRequest, PredictResponse, RequestRecord, Respond

__all__ = ["Concern", "Concerns"]

Concerns: TypeAlias = "Callable[[RequestRecord], object]"
"""Says whether a plugin goes around a request; a plugin's own, so it may give anything."""


class Concern:
    """The requests that concern a plugin.

    Args:
        concerns: The plugin's `concerns`.
        blame: Judges what it does.
    """

    def __init__(self, concerns: Concerns, blame: Blame) -> None:
        self._concerns = concerns
        self._blame = blame

    def has(self, request: PredictRequest) -> bool:
        """Whether a request concerns it; none does where it fails, if the prediction may go on without it."""
        try:
            concerned = self._concerns(request.record)
            if concerned is not True and concerned is not False:
                raise self._blame.no_answer("concerns", concerned)  # noqa: TRY301 - as what the plugin raises
        except BaseException as error:  # noqa: BLE001 - the boundary of a plugin: whatever it raises is judged
            self._blame.judge(error, "concerns", request)
            return False
        return concerned

    def around(self, layer: Respond, call_next: Respond) -> Respond:
        """The plugin's layer for the requests that concern it; the others do not enter it."""

        def respond(request: PredictRequest) -> PredictResponse | Awaitable[PredictResponse]:
            return layer(request) if self.has(request) else call_next(request)

        return respond
