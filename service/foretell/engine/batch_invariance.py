"""Whether rows of a version answer in one run as they do alone, to the last bit: then requests may share runs unasked.

Other than for requests that wait for a thread, which `batching` lets go together, nobody would wait here: so no answer may
change by it, not even in its last bit, with who else is asking.

To try some rows does not show that. ONNX Runtime computes whole vectors in another way than what is left over, so that a
logarithm's last bit depends on its place for one value in a hundred; some operators measure all rows before they compute
any. So the graph must consist of operators of which neither is true, and the trial only confirms it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from foretell.engine.trial_inputs import trial_rows
from foretell.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.engine.session import Session
    from foretell.engine.warm_up import Cost
    from foretell.parser import Parser, Tensors
    from foretell.signature import Signature
    from foretell.store.screening import Node
    from foretell.tensors import Array

__all__ = ["invariant_rows", "is_invariant"]

_UNARY: Final = frozenset(
    {
        *["Abs", "Ceil", "Floor", "Identity", "IsInf", "IsNaN", "Neg", "Not", "Round", "Sqrt"],
        *(f"Cast to {kind}" for kind in ("float32", "float64", "int64", "bool")),
    }
)
_BROADCASTING: Final = frozenset(
    [
        "Add",
        "And",
        "Div",
        "Equal",
        "Greater",
        "GreaterOrEqual",
        "Less",
        "LessOrEqual",
        "Mul",
        "Or",
        "Sub",
        "Where",
        "Xor",
    ]
)
_OF_ROWS: Final = frozenset(f"ai.onnx.ml.{name}" for name in ("Binarizer", "Imputer", "Scaler"))
"""Operators that compute each value from those at its place alone, with one right result, wherever it stands.

The greater and the lesser of two are not among them: which they are is not the same in vectors where one is no number. Where
the result is no number, which of the patterns for that it has is open.

Source: IEEE 754, sections 5.3 to 5.7.
"""

_CLASSIFIER: Final = "ai.onnx.ml.TreeEnsembleClassifier"
_TREES: Final = frozenset({"ai.onnx.ml.TreeEnsemble", _CLASSIFIER, "ai.onnx.ml.TreeEnsembleRegressor"})
"""Operators that walk each row through their trees by itself, and add up what those say in their order, in one thread."""

_KNOWN: Final = _UNARY | _BROADCASTING | _OF_ROWS | _TREES | {"Constant"}

_MOST: Final = 16
_MOST_US: Final = 500.0
"""How long a run of so many may take, µs: the first of them waits for the last."""


def is_invariant(nodes: Sequence[Node], signature: Signature) -> bool:
    """Whether a graph answers each row without regard to others, and to its place among them.

    All that it computes with has rows and columns, but for the labels of classifiers, which are one for each row: were they
    to meet a column, each row would meet all others.

    Args:
        nodes: Its nodes, in their order.
        signature: What it takes.
    """
    if any(len(tensor.shape) != 2 or tensor.dtype == "float16" for tensor in signature.inputs):
        return False
    labels: set[str] = set()
    for node in nodes:
        if node.operator not in _KNOWN:
            return False
        if not labels.isdisjoint(node.inputs):
            if node.operator not in _UNARY:
                return False
            labels.update(node.outputs)
        if node.operator == _CLASSIFIER:
            labels.update(node.outputs[:1])
    return True


def invariant_rows(session: Session, signature: Signature, parser: Parser, cost: Cost) -> int:
    """How many rows of an invariant graph may run together so that each answers as it does alone, bit for bit; 1 for none.

    Every number of rows up to that is tried: lengths of other axes could be those of rows by chance.

    Args:
        session: The graph.
        signature: What it takes.
        parser: The parser of its signature.
        cost: What a run costs.

    Raises:
        LoadTimeoutError: The session was stopped meanwhile.
    """
    if not signature.batched or not session.plain or session.threads != 1:
        return 1
    most = min(_MOST, parser.max_rows)
    while most > 1 and cost.of(most) > _MOST_US:
        most -= 1
    alone: list[tuple[Tensors, Tensors]] = []
    rows = trial_rows(signature, parser)
    for row in [*rows, _unknown(rows[0])]:
        try:
            alone.append((row, session.try_outputs(row)))
        except RunError:  # none that it takes
            continue
    if not alone:
        return 1
    for size in range(1, most + 1):
        if not _are_as_alone(session, [alone[(size + at) % len(alone)] for at in range(size)]):
            return 1
    return most


def _unknown(inputs: Tensors) -> Tensors:
    return {
        name: np.full_like(array, np.nan) if array.dtype.kind == "f" else array
        for name, array in inputs.items()
    }


def _are_as_alone(session: Session, rows: list[tuple[Tensors, Tensors]]) -> bool:
    joined = {name: np.concatenate([row[name] for row, _ in rows]) for name in rows[0][0]}
    try:
        together = session.try_outputs(joined)
    except RunError:
        return False
    return all(
        array.ndim > 0
        and len(array) == len(rows)
        and all(_same(array[at : at + 1], outputs[name]) for at, (_, outputs) in enumerate(rows))
        for name, array in together.items()
    )


def _same(one: Array, other: Array) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and _bits(one) == _bits(other)


def _bits(array: Array) -> Any:
    return array.tolist() if array.dtype == object else array.tobytes()
