"""The signature of a model file that has no manifest: what its graph says, and what a trial run shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foretell.engine.trial_inputs import zero_inputs
from foretell.errors import RunError, ScreeningError
from foretell.signature import Signature, Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.engine.session import Session
    from foretell.signature import Scalar

__all__ = ["graph_signature"]

_TRIAL_ROWS = 2
_MAX_INPUTS = 512


def graph_signature(session: Session) -> Signature:
    """Describe a graph.

    Raises:
        ScreeningError: It gives a sequence of tensors, and does not run on zeros to show how many; or it has
            more inputs than anybody would name by hand.
    """
    if len(session.inputs) > _MAX_INPUTS:
        raise ScreeningError(
            f"the graph has {len(session.inputs)} inputs; without a manifest up to {_MAX_INPUTS} are served: "
            "give it one input with a column for each"
        )
    try:
        bare = Signature(session.inputs, ())
    except ValueError as error:
        raise ScreeningError(str(error)) from error
    outputs: list[Tensor] = []
    classes: tuple[Scalar, ...] | None = None
    try:
        values = session.try_run(zero_inputs(bare, _TRIAL_ROWS))
    except RunError:  # zeros need not be valid inputs; what the graph declares must do
        return _classified(bare, [_declared(session, at) for at in range(len(session.outputs))], None)
    for output, value in zip(session.outputs, values, strict=True):
        outputs += output.describe(value, _TRIAL_ROWS if bare.batched else None)
        classes = classes or output.keys(value)
    return _classified(bare, outputs, classes)


def _declared(session: Session, at: int) -> Tensor:
    output = session.outputs[at]
    if output.kind == "sequence":
        raise ScreeningError(
            f"the output {output.name!r} is a sequence, and the model does not run on zeros to show it"
        )
    return Tensor(output.name, output.dtype, ("batch", None) if output.kind == "maps" else output.shape)


def _classified(bare: Signature, outputs: Sequence[Tensor], classes: tuple[Scalar, ...] | None) -> Signature:
    """Recognise a classifier by what converters give: a label for each row, then a float for each row and class."""
    if len(outputs) == 2 and _is_label(outputs[0]) and _is_float_matrix(outputs[1]):
        label, scores = outputs
        return Signature(
            bare.inputs,
            (label, scores),
            task="classification",
            classes=classes,
            prediction=label.name,
            probabilities=scores.name,
        )
    return Signature(bare.inputs, tuple(outputs))


def _is_label(tensor: Tensor) -> bool:
    return tensor.is_column and tensor.type.kind in {"int", "string"}


def _is_float_matrix(tensor: Tensor) -> bool:
    return len(tensor.shape) == 2 and tensor.type.kind == "float"
