"""Whether what a plugin answers by itself is an answer of the version that it stands around."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from foretell.prediction import PredictResponse

if TYPE_CHECKING:
    from foretell.prediction import PredictRequest
    from foretell.signature import Signature

__all__ = ["AnswerCheck"]


class AnswerCheck:
    """Looks at answers that did not come from further in.

    Args:
        signature: What the version takes and gives.
    """

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._counts_rows: dict[str, bool] | None = None

    def complaint(self, response: object, request: PredictRequest) -> str | None:
        """What is wrong with an answer; None if nothing is.

        Args:
            response: What the plugin gave.
            request: What was asked.
        """
        if type(response) is not PredictResponse:
            return f"gave {response!r}; it must give a PredictResponse"
        if self._counts_rows is None:
            self._counts_rows = _counts_rows(self._signature)
        counts_rows = self._counts_rows
        outputs = response.outputs
        for name in counts_rows if request.outputs is None else request.outputs:
            array: object = outputs.get(name)
            if not isinstance(array, np.ndarray):
                return f"gave {array!r} for the output {name!r}; it must give an array"
            if counts_rows.get(name, False) and array.shape[:1] != (request.rows,):
                return (
                    f"gave an output {name!r} of the shape {list(array.shape)} for {request.rows} rows; "
                    "it must give one value for each"
                )
        return None


def _counts_rows(signature: Signature) -> dict[str, bool]:
    """For each output, whether its first axis is by its name that of the rows; one without a name may be any."""
    axes = {tensor.shape[0] for tensor in signature.inputs if signature.batched}
    return {
        tensor.name: tensor.batched and tensor.shape[0] is not None and tensor.shape[0] in axes
        for tensor in signature.outputs
    }
