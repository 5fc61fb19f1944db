"""What every answer says of itself: the version that answered, and which request it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foretell.protocols.encoding import encode

if TYPE_CHECKING:
    from foretell.prediction import PredictRequest, PredictResponse

__all__ = ["Identity"]


class Identity:
    """Writes the answers of one version.

    Args:
        model: The model's name.
        version: The version's number.
    """

    def __init__(self, model: str, version: int) -> None:
        self._model = model
        self._version = str(version)

    def write(self, answer: dict[str, Any], request: PredictRequest, response: PredictResponse) -> bytes:
        """Write an answer with what every answer has; one that something else gave says so."""
        source = response.source
        if source is None:
            answer["model_name"] = self._model
            answer["model_version"] = self._version
        else:
            answer["model_name"] = source.name
            answer["model_version"] = str(source.version)
        answer["request_id"] = request.record.request_id
        if response.degraded is not None:
            answer["degraded"] = True
            answer["served_by"] = response.served_by
        return encode(answer)
