"""Whether one model can stand in for another: the same names, types and shapes, or a mapping between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from foretell.signature import Signature, Tensor

__all__ = ["Fit", "UnlikeError", "described", "fit"]


class UnlikeError(ValueError):
    """One model cannot stand in for another; the message says why."""


class Fit(msgspec.Struct, frozen=True):
    """How the tensors of two models belong together.

    Attributes:
        inputs: Our input for each of theirs.
        outputs: Their output for each of ours, in the order of our signature.
        renames: Whether anything has another name there.
    """

    inputs: dict[str, str]
    outputs: dict[str, str]
    renames: bool


def fit(
    ours: Signature,
    theirs: Signature,
    inputs: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
) -> Fit:
    """Find how another model stands in for ours.

    Args:
        ours: The signature of the model that cannot answer.
        theirs: The signature of the one that is to.
        inputs: Our input for each of theirs that has another name; with a mapping, we may have more than they take.
        outputs: Their output for each of ours that has another name; with a mapping, they may give more.

    Raises:
        UnlikeError: It cannot.
    """
    taken = _paired("input", theirs.inputs, ours.inputs, inputs, "it takes", "this model takes")
    given = _paired("output", ours.outputs, theirs.outputs, outputs, "this model gives", "it gives")
    _check_columns(ours, theirs, {} if inputs is None else inputs)
    if outputs is None and "other" not in {ours.task, theirs.task} and ours.task != theirs.task:
        raise UnlikeError(f"it is for {theirs.task}, this model for {ours.task}")
    if ours.classes is not None and theirs.classes != ours.classes and (theirs.classes or outputs is None):
        theirs_are = "are not known" if theirs.classes is None else f"are {list(theirs.classes)}"
        raise UnlikeError(f"its classes {theirs_are}, this model's are {list(ours.classes)}")
    renames = any(name != other for name, other in [*taken.items(), *given.items()])
    return Fit(
        taken, given, renames or inputs is not None or list(given) != [each.name for each in theirs.outputs]
    )


def described(tensor: Tensor) -> str:
    """A tensor's type and shape, for people."""
    lengths = ", ".join("any" if length is None else str(length) for length in tensor.shape)
    return f"{tensor.dtype}[{lengths}]"


def _paired(
    kind: str,
    to_fill: tuple[Tensor, ...],
    sources: tuple[Tensor, ...],
    mapping: Mapping[str, str] | None,
    filled_by: str,
    given_by: str,
) -> dict[str, str]:
    """Which source each tensor is filled from."""
    names = mapping or {}
    offered = {tensor.name: tensor for tensor in sources}
    for key in names:
        if key not in {tensor.name for tensor in to_fill}:
            raise UnlikeError(
                f"`{kind}s` names {key!r}, which is not among what {filled_by}: {_listed(to_fill)}"
            )
    pairs: dict[str, str] = {}
    for tensor in to_fill:
        source = offered.get(names.get(tensor.name, tensor.name))
        if source is None:
            raise UnlikeError(
                f"{filled_by} the {kind} {names.get(tensor.name, tensor.name)!r}, {given_by} {_listed(sources)}"
                if tensor.name not in names
                else f"`{kind}s` maps {tensor.name!r} to {names[tensor.name]!r}; {given_by} {_listed(sources)}"
            )
        if source.dtype != tensor.dtype or not _fits(source, tensor):
            raise UnlikeError(
                f"{filled_by} the {kind} {tensor.name!r} as {described(tensor)}, {given_by} {source.name!r} "
                f"as {described(source)}"
            )
        pairs[tensor.name] = source.name
    spare = sorted(offered.keys() - pairs.values())
    if spare and mapping is None:
        raise UnlikeError(f"{given_by} the {kind} {spare[0]!r} too, {filled_by} only {_listed(to_fill)}")
    return pairs


def _fits(source: Tensor, target: Tensor) -> bool:
    """Whether whatever has the one shape has the other too."""
    return len(source.shape) == len(target.shape) and all(
        not isinstance(wanted, int) or wanted == length
        for length, wanted in zip(source.shape, target.shape, strict=True)
    )


def _check_columns(ours: Signature, theirs: Signature, mapped: Mapping[str, str]) -> None:
    """Columns of one matrix must mean the same, in the same order; who maps a tensor by name answers for that."""
    if not ours.columns or not theirs.columns:
        return
    for tensor in theirs.inputs:
        if tensor.name in mapped:
            continue
        there = [column.name for column in theirs.columns if column.input == tensor.name]
        here = [column.name for column in ours.columns if column.input == tensor.name]
        if there != here:
            raise UnlikeError(f"its input {tensor.name!r} holds the columns {there}, this model's {here}")


def _listed(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(f"{tensor.name} ({described(tensor)})" for tensor in tensors)
