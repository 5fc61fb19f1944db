"""What stands where a version failed to load, so that a fallback can answer for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from foretell.errors import NotReadyError

if TYPE_CHECKING:
    from foretell.parser import Parser
    from foretell.prediction import ModelInfo, PredictRequest

__all__ = ["StandIn"]


class StandIn:
    """A version that cannot answer: requests are read by its signature, and a run raises.

    Args:
        info: What is known of the version.
        parser: The parser of its signature.
    """

    def __init__(self, info: ModelInfo, parser: Parser) -> None:
        self.info = info
        self.parser = parser

    def respond(self, request: PredictRequest) -> NoReturn:
        """Refuse.

        Raises:
            NotReadyError: Always.
        """
        del request
        name = self.info.name
        raise NotReadyError(
            f"version {self.info.version} of {name!r} does not serve; see GET /v1/models/{name}"
        )
