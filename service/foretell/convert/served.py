"""A converted graph with the inputs, outputs and signature that callers will see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from foretell.convert.choices import required_choices
from foretell.convert.frame import MAX_CATEGORIES, Frame
from foretell.convert.graph import Graph
from foretell.convert.native import rounds_to
from foretell.convert.text_limits import fills_gaps_in_texts, text_limits
from foretell.engine.session import Session
from foretell.errors import ConversionError, ForetellError
from foretell.parser import Parser
from foretell.signature import BATCH, Column, Enforcement, Scalar, Signature, Tensor
from foretell.tensors import Array, DTypeName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretell.convert.frame import Kind, Observed, Row
    from foretell.convert.original import Answers, Original
    from foretell.convert.sklearn_onnx import Precision

__all__ = ["Served"]

_TRIAL_ROWS: Final = 64
"""How many rows tell the shapes of the outputs, and which of the graph's scores are the original's."""

_CLOSE: Final = 1e-2
"""Scores that are further from the original's than this are something else."""

_RESERVED: Final = ("label", "prediction", "transformed", "probabilities", "scores")


class Served(msgspec.Struct, frozen=True):
    """A model as it will be served.

    Attributes:
        model: The ONNX file.
        signature: What it takes and gives.
        opset: The operator sets that it uses.
        frame: The sample with its values as the signature's columns take them.
    """

    model: bytes
    signature: Signature
    opset: dict[str, int]
    frame: Frame

    def answer(self, session: Session, parser: Parser, rows: Sequence[Row]) -> Answers:
        """Run rows the way that a request's are run.

        Raises:
            ForetellError: The server would refuse them, or ONNX Runtime failed.
        """
        tensors, _ = parser.tensors_of_rows(rows)
        return dict(session.run(tensors))

    @classmethod
    def of(
        cls, proto: Any, original: Original, precision: Precision, enforce: Sequence[Enforcement] = ()
    ) -> Served:
        """Finish a converted graph.

        Args:
            proto: The ``onnx.ModelProto``, one input for each column or one for all.
            original: The estimator that it was made from.
            precision: The type of its numbers.
            enforce: Which observations requests must keep to.

        Raises:
            ConversionError: ONNX Runtime cannot load or run it.
        """
        graph = Graph(proto)
        frame = original.frame
        names = [column.name for column in frame.columns]
        whole = len(graph.inputs) == 1
        if whole:
            groups = [names]
        else:  # skl2onnx changes names that it does not like, but keeps the order
            graph.name_inputs(names)
            groups = graph.pack_inputs()
        inputs = _inputs(groups, frame, precision)
        graph.set_inputs(inputs)
        _round_inputs(graph, groups, inputs, frame, precision)
        if not any(column.kind == "string" for column in frame.columns) and whole:
            frame = frame.as_floats(names)
        else:
            frame = frame.as_floats([name for group in groups if len(group) > 1 for name in group])
        original.frame = frame
        feeds = {name: tensor.name for group, tensor in zip(groups, inputs, strict=True) for name in group}
        columns = tuple(_column(at, frame, feeds, precision) for at in range(len(names)))
        refused = text_limits(original.estimator, names)
        gaps = fills_gaps_in_texts(original.estimator)
        columns = tuple(_limited(column, frame, at, refused, gaps=gaps) for at, column in enumerate(columns))
        required = required_choices(original)
        if required:
            columns = tuple(_narrowed(column, required, enforce) for column in columns)
            enforce = tuple(dict.fromkeys([*enforce, "categories"]))
        rows = frame.rows[:_TRIAL_ROWS]
        expected = _expected(original, rows)
        raw = _trial(graph, Signature(inputs, (), columns), rows)
        if (
            "transformed" in expected
            and _is_whole(expected)
            and not _is_whole(original.answer(rows, as_float64=True))
        ):
            expected = {
                "transformed": expected["transformed"].astype(np.float64)
            }  # whole as the rows are, no more
        sources = _outputs(graph, original, raw, expected, precision)
        graph.set_outputs(sources)
        names_out = [tensor.name for _, tensor in sources]
        signature = Signature(
            inputs=inputs,
            outputs=tuple(tensor for _, tensor in sources),
            columns=columns,
            task=original.task,
            classes=original.classes,
            prediction=original.answer_name,
            probabilities="probabilities" if original.classes and "probabilities" in names_out else None,
            enforce=tuple(enforce),
            example=next((row for row in frame.rows if None not in row), frame.rows[0]),
        )
        return cls(graph.to_bytes(), signature, graph.opset, frame)


def _inputs(groups: list[list[str]], frame: Frame, precision: Precision) -> tuple[Tensor, ...]:
    kinds = {column.name: column.kind for column in frame.columns}
    native: dict[str, DTypeName | None] = {column.name: _rounding(column) for column in frame.columns}
    taken: set[str] = set(_RESERVED)
    tensors: list[Tensor] = []
    for group in groups:
        rounded: set[DTypeName | None] = {native[name] for name in group}
        dtype: DTypeName = "string" if kinds[group[0]] == "string" else precision
        if len(rounded) == 1:  # all of one type, which rounds as the caller's own table does
            dtype = rounded.pop() or dtype
        if len(group) == 1:
            name = group[0]
        elif len(groups) == 1:
            name = "features"
        else:
            name = "texts" if dtype == "string" else "numbers"
        while name in taken:
            name += "_input"
        taken.add(name)
        flat = frame.form == "texts"
        tensors.append(Tensor(name, dtype, (BATCH,) if flat else (BATCH, len(group))))
    return tuple(tensors)


def _rounding(column: Observed) -> DTypeName | None:
    return rounds_to(column.native) if column.kind == "float" else None


def _round_inputs(
    graph: Graph, groups: list[list[str]], inputs: tuple[Tensor, ...], frame: Frame, precision: Precision
) -> None:
    """Let narrow columns be rounded before a graph that computes in a wider type."""
    native: dict[str, DTypeName | None] = {column.name: _rounding(column) for column in frame.columns}
    for group, tensor in zip(groups, inputs, strict=True):
        if tensor.dtype not in {"string", precision}:
            graph.convert_input(tensor.name, tensor.dtype, precision)
            continue
        narrower: dict[DTypeName, list[int]] = {}
        for place, name in enumerate(group):
            dtype = native[name]
            if dtype is not None and dtype != tensor.dtype:
                narrower.setdefault(dtype, []).append(place)
        for dtype, places in narrower.items():
            graph.round_columns(tensor.name, len(group), places, dtype)


def _column(at: int, frame: Frame, feeds: dict[str, str], precision: Precision) -> Column:
    observed: Observed = frame.columns[at]
    values = frame.present(at)
    numbers = values if observed.kind in {"int", "float"} else []
    choices = sorted(set(values), key=str) if observed.kind in {"string", "bool"} else []
    floating = _rounding(observed) or precision
    dtypes: dict[Kind, DTypeName] = {"bool": "bool", "int": "int64", "float": floating, "string": "string"}
    return Column(
        name=observed.name,
        dtype=dtypes[observed.kind],
        input=feeds[observed.name],
        missing=("empty" if observed.kind == "string" else "nan") if observed.nullable else "refuse",
        minimum=min(numbers, default=None),
        maximum=max(numbers, default=None),
        categories=tuple(choices) if 0 < len(choices) <= MAX_CATEGORIES else None,
    )


def _limited(column: Column, frame: Frame, at: int, refused: dict[str, str], *, gaps: bool) -> Column:
    """A column of strings without those that the graph would read differently from the original."""
    if column.dtype != "string":
        return column
    excluded = refused.get(column.name, "")
    texts = {str(text) for text in frame.present(at)}
    for letter in excluded:
        found = next((text for text in sorted(texts) if letter in text), None)
        if found is not None:
            raise ConversionError(
                f"the column {column.name!r} holds {letter!r}, which the ONNX form lower-cases differently from "
                f"Python: {found[:60]!r}. Lower-case the texts (str.lower) before training, and before they are sent"
            )
    # What the sample has itself is for the comparison to judge.
    nonempty = column.missing == "empty" or (gaps and "" not in texts)
    return msgspec.structs.replace(column, excluded=excluded, nonempty=nonempty)


def _narrowed(
    column: Column, required: dict[str, tuple[Scalar, ...]], enforce: Sequence[Enforcement]
) -> Column:
    """A column with the values that the estimator insists on; those that it does not stay open unless asked for."""
    if column.name in required:
        return msgspec.structs.replace(column, categories=required[column.name])
    if column.dtype == "bool" or "categories" in enforce:
        return column
    return msgspec.structs.replace(column, categories=None)


def _expected(original: Original, rows: Sequence[Row]) -> Answers:
    try:
        return original.answer(rows)
    except Exception as error:
        raise ConversionError(
            f"{original.name} itself refuses the sample: {type(error).__name__}: {error}. "
            "Give rows like those it was trained on"
        ) from error


def _is_whole(answers: Answers) -> bool:
    return answers["transformed"].dtype.kind in "iu"


def _trial(graph: Graph, signature: Signature, rows: Sequence[Row]) -> dict[str, Any]:
    """What the graph gives as it is, sequences as lists."""
    try:
        session = Session(graph.to_bytes())
        tensors, _ = Parser(signature, max_rows=len(rows)).tensors_of_rows(rows)
        return dict(zip(graph.outputs, session.run_raw(tensors), strict=True))
    except ForetellError as error:
        raise ConversionError(
            f"it converts, but ONNX Runtime cannot run the result: {error}. Use another estimator"
        ) from error


def _outputs(
    graph: Graph, original: Original, raw: dict[str, Any], expected: Answers, precision: Precision
) -> list[tuple[str, Tensor]]:
    names = list(raw)
    sources: list[tuple[str, Tensor]] = []
    for name, answer in expected.items():
        if name == original.answer_name:
            source = names[0]
            given = raw[source]
        elif len(names) < 2:
            continue
        elif name == "scores":
            found = _scores(graph, names[1], raw[names[1]], answer)
            if found is None:
                continue
            source, given = found
        elif name.startswith("probabilities_"):
            index = int(name.removeprefix("probabilities_"))
            if isinstance(raw[names[1]], list):
                source, given = graph.element(names[1], index), raw[names[1]][index]
            else:
                source = graph.slab(names[1], index, answer.shape[1])
                given = raw[names[1]][index][:, : answer.shape[1]]
        else:
            source, given = names[1], raw[names[1]]
        sources.append(_output(graph, name, source, np.asarray(given), answer, precision))
    return sources


def _output(
    graph: Graph, name: str, source: str, given: Array, answer: Array, precision: Precision
) -> tuple[str, Tensor]:
    """Give an output the type and the shape of the original's answer."""
    if given.shape != answer.shape:
        if given.size != answer.size:
            raise ConversionError(
                f"its ONNX form gives {name!r} in the shape {given.shape} where the estimator gives {answer.shape}: "
                "use another estimator"
            )
        source = graph.reshape(source, (-1, *answer.shape[1:]))
    dtype = _dtype(name, answer, given, precision)
    held = _element_type(given)
    if held != dtype:
        source = graph.cast(source, dtype)
    return source, Tensor(name, dtype, (BATCH, *answer.shape[1:]))


def _dtype(name: str, answer: Array, given: Array, precision: Precision) -> DTypeName:
    """The element type that callers see: a label's own, a number's as the graph computes it."""
    kind = answer.dtype.kind
    if kind == "O":
        return "string"
    if kind == "b":
        return "bool"
    if kind in "iu" and name in {"label", "transformed"}:
        return "int64"
    if name == "label":
        return "float64"
    return "float64" if given.dtype == np.float64 else "float32" if given.dtype == np.float32 else precision


def _element_type(given: Array) -> str:
    return "string" if given.dtype.kind in "OUT" else given.dtype.name


def _scores(graph: Graph, name: str, given: Any, answer: Array) -> tuple[str, Array] | None:
    """Which of the graph's numbers are the original's scores, if any."""
    if isinstance(given, list):
        return None
    given = np.asarray(given)
    candidates: list[tuple[Array, Any]] = [(given, lambda: name)]
    if given.ndim == 2 and given.shape[1] == 2 and answer.ndim == 1:
        candidates += [(given[:, at], lambda at=at: graph.column(name, at)) for at in (1, 0)]
    candidates += [(-values, lambda make=make: graph.add("Neg", make())) for values, make in list(candidates)]
    best: tuple[float, Array, Any] | None = None
    for values, make in candidates:
        if values.size != answer.size:
            continue
        difference = np.abs(values.reshape(answer.shape).astype(np.float64) - answer)
        if bool(np.all(difference <= _CLOSE * (1 + np.abs(answer)))):
            furthest = float(difference.max(initial=0.0))
            if best is None or furthest < best[0]:
                best = furthest, values, make
    return None if best is None else (best[2](), best[1])
