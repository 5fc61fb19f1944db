"""One run for the rows of several requests."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from foretell.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from foretell.engine.session import Session
    from foretell.parser import Tensors
    from foretell.prediction import PredictRequest, RequestRecord

__all__ = ["run_jointly", "spans_of"]


def run_jointly(
    session: Session, requests: Sequence[PredictRequest], options: Any = None
) -> Sequence[Tensors]:
    """Run a graph once for several requests.

    Args:
        session: The graph.
        requests: The requests: of the same form, which is all of their inputs but rows and values, and the same outputs.
        options: The run's.

    Returns:
        The outputs of each, parts of what the run gave.

    Raises:
        RunError: ONNX Runtime failed, or what it gave has not one row for each row of the inputs.
    """
    wanted = requests[0].outputs
    joined = {name: np.concatenate([each.inputs[name] for each in requests]) for name in requests[0].inputs}
    outputs = session.run(joined, wanted, options)
    ends = list(accumulate(each.rows for each in requests))
    if any(array.ndim == 0 or len(array) != ends[-1] for array in outputs.values()):
        raise RunError("an output has not one row for each row of the inputs, so that it cannot be shared")
    return [
        {name: array[end - each.rows : end] for name, array in outputs.items()}
        for each, end in zip(requests, ends, strict=True)
    ]


def spans_of(records: Iterable[RequestRecord]) -> list[tuple[str, str]]:
    """The spans of those that leave traces: trace and span, as in `RequestRecord.companions`."""
    return [
        (record.trace_id, record.span_id)
        for record in records
        if record.trace_id is not None and record.span_id is not None
    ]
