"""Converters for scikit-learn's imputer and category encoders that see missing values as the original does.

In the served model a missing number is NaN and a missing string is the empty string; so these converters write
the category NaN or None of a column of strings as the empty string. skl2onnx's own compare missing strings with
the text ``nan``, cut categories that are numbers to integers, and impute in float32.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from foretell.convert.cells import is_missing
from foretell.convert.nodes import GraphWriter, is_double
from foretell.convert.registry import Registry
from foretell.errors import ConversionError
from foretell.tensors import Array

__all__ = ["register"]


def register(registry: Registry) -> None:
    """Add the converters of this module."""
    from sklearn import impute, preprocessing

    parse = partial(_parse, registry.floating)
    shape = partial(_encoder_shape, registry.floating)
    registry.add(
        impute.SimpleImputer,
        _simple_imputer,
        shape=partial(_simple_imputer_shape, registry.floating),
        parser=parse,
    )
    registry.add(preprocessing.OneHotEncoder, _one_hot_encoder, shape=shape, parser=parse)
    registry.add(preprocessing.OrdinalEncoder, _ordinal_encoder, shape=shape, parser=parse)
    registry.add(preprocessing.TargetEncoder, _target_encoder, shape=shape, parser=parse)


def _parse(floating: Any, scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    from skl2onnx.common.data_types import StringTensorType
    from sklearn.impute import SimpleImputer

    del custom_parsers  # part of skl2onnx's interface
    strings = isinstance(model, SimpleImputer) and all(
        isinstance(variable.type, StringTensorType) for variable in inputs
    )
    operator = scope.declare_local_operator(f"Sklearn{type(model).__name__}", model)
    operator.inputs = inputs
    operator.outputs.append(
        scope.declare_local_variable("variable", StringTensorType() if strings else floating())
    )
    return operator.outputs


# ---------------------------------------------------------------- imputing


def _simple_imputer_shape(floating: Any, operator: Any) -> None:
    from skl2onnx.common.data_types import StringTensorType

    width = _imputed_width(operator.raw_operator)
    rows = operator.inputs[0].get_first_dimension()
    if all(isinstance(variable.type, StringTensorType) for variable in operator.inputs):
        operator.outputs[0].type = StringTensorType([rows, width])
    else:
        operator.outputs[0].type = floating([rows, width])


def _imputed_width(model: Any) -> int:
    indicator = 0 if model.indicator_ is None else len(model.indicator_.features_)
    return int(_kept(model).sum()) + indicator


def _kept(model: Any) -> Array:
    """Which columns stay: an imputer drops those that had no value at all."""
    statistics = model.statistics_
    if model.keep_empty_features:
        return np.ones(len(statistics), bool)
    return np.array([not is_missing(value) for value in statistics.tolist()])


def _simple_imputer(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    writer = GraphWriter(scope, container)
    strings = _strings(operator)
    dtype = np.dtype(object) if strings else _dtype(operator)
    values = _joined(writer, operator, dtype)
    wanted = model.missing_values
    if strings:
        replaced = "" if is_missing(wanted) else str(wanted)
        missing = writer.add("Equal", values, writer.constant([replaced], object))
    elif is_missing(wanted):
        missing = writer.add("IsNaN", values)
    else:
        missing = writer.add("Equal", values, writer.constant([wanted], dtype))
    kept = _kept(model)
    fill = ["" if is_missing(value) and strings else value for value in model.statistics_.tolist()]
    result = writer.add("Where", missing, writer.constant([fill], dtype), values)
    if not kept.all():
        result = writer.add("Gather", result, writer.constant(np.flatnonzero(kept), np.int64), axis=1)
    if model.indicator_ is not None:
        if strings:
            raise ConversionError(
                "SimpleImputer(add_indicator=True) on a column of strings has no ONNX form: use add_indicator=False"
            )
        columns = writer.constant(model.indicator_.features_, np.int64)
        flags = writer.cast(writer.add("Gather", missing, columns, axis=1), dtype)
        result = writer.add("Concat", result, flags, axis=1)
    writer.add("Identity", result, to=operator.outputs[0].full_name)


# ---------------------------------------------------------------- encoding categories


def _encoder_shape(floating: Any, operator: Any) -> None:
    model = operator.raw_operator
    rows = operator.inputs[0].get_first_dimension()
    width = len(model.get_feature_names_out())
    operator.outputs[0].type = floating([rows, width])


def _one_hot_encoder(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    writer = GraphWriter(scope, container)
    dtype = _dtype(operator)
    tables = [_one_hot_table(model, index) for index in range(len(model.categories_))]
    parts: list[str] = []
    for (column, strings), categories, table in zip(
        _columns(writer, operator), model.categories_, tables, strict=True
    ):
        known = _categories(categories, strings=strings)
        if strings:
            zeros = int(model.handle_unknown != "error")
            hot = writer.add_ml("OneHotEncoder", column, version=1, cats_strings=known, zeros=zeros)[0]
            hot = writer.add("Reshape", hot, writer.constant([-1, len(known)], np.int64))
            hot = hot if dtype == np.float32 else writer.cast(hot, dtype)
        else:
            hot = writer.cast(_equal(writer, column, np.array(known, np.float64), dtype), dtype)
        if table is not None:
            weights, unknown = table
            if unknown is not None:  # an unknown value counts as an infrequent one
                total = writer.add("ReduceSum", hot, writer.constant([1], np.int64), keepdims=1)
                missing = writer.add("Sub", writer.constant([[1]], dtype), total)
                hot = writer.add("Concat", hot, missing, axis=1)
                weights = np.vstack([weights, unknown])
            hot = writer.add("MatMul", hot, writer.constant(weights, dtype))
        parts.append(hot)
    result = parts[0] if len(parts) == 1 else writer.add("Concat", *parts, axis=1)
    writer.add("Identity", result, to=operator.outputs[0].full_name)


def _one_hot_table(model: Any, index: int) -> tuple[Array, Array | None] | None:
    """How the indicators of all categories become those that the encoder gives: None for as they are.

    Returns:
        ``float64[categories, outputs]`` and, where unknown values count as infrequent ones, ``float64[outputs]``.
    """
    count = len(model.categories_[index])
    mapping = None
    if getattr(model, "_infrequent_enabled", False):
        mapping = model._default_to_infrequent_mappings[index]  # noqa: SLF001 - there is no public name for it
    targets = np.arange(count) if mapping is None else np.asarray(mapping)
    width = int(targets.max()) + 1 if count else 0
    weights = np.eye(width)[targets]
    unknown = None
    if model.handle_unknown in {"infrequent_if_exist", "warn"} and mapping is not None:
        unknown = np.eye(width)[width - 1]
    drop = None if model.drop_idx_ is None else model._drop_idx_after_grouping[index]  # noqa: SLF001
    if drop is not None:
        weights = np.delete(weights, drop, axis=1)
        unknown = None if unknown is None else np.delete(unknown, drop)
    if mapping is None and drop is None:
        return None
    return weights, unknown


def _ordinal_encoder(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    if getattr(model, "_infrequent_enabled", False):
        raise ConversionError(
            "OrdinalEncoder with infrequent categories has no ONNX form: leave min_frequency and max_categories at None"
        )
    writer = GraphWriter(scope, container)
    dtype = _dtype(operator)
    parts: list[str] = []
    for (column, strings), categories in zip(_columns(writer, operator), model.categories_, strict=True):
        # scikit-learn gives NaN where a missing value is not told apart, and an encoded one where it is.
        codes = [
            float(model.encoded_missing_value) if is_missing(category) else float(code)
            for code, category in enumerate(categories.tolist())
        ]
        unknown = math.nan if model.handle_unknown == "error" else float(model.unknown_value)
        place = _place(writer, column, _categories(categories, strings=strings), dtype, strings=strings)
        parts.append(writer.add("Gather", writer.constant([*codes, unknown], dtype), place))
    result = parts[0] if len(parts) == 1 else writer.add("Concat", *parts, axis=1)
    writer.add("Identity", result, to=operator.outputs[0].full_name)


def _target_encoder(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    writer = GraphWriter(scope, container)
    dtype = _dtype(operator)
    means = np.asarray(model.target_mean_, np.float64).ravel()
    parts: list[str] = []
    for index, ((column, strings), categories) in enumerate(
        zip(_columns(writer, operator), model.categories_, strict=True)
    ):
        place = _place(writer, column, _categories(categories, strings=strings), dtype, strings=strings)
        for target, mean in enumerate(means):
            codes = np.append(model.encodings_[index * len(means) + target], mean)
            parts.append(writer.add("Gather", writer.constant(codes, dtype), place))
    result = parts[0] if len(parts) == 1 else writer.add("Concat", *parts, axis=1)
    writer.add("Identity", result, to=operator.outputs[0].full_name)


# ---------------------------------------------------------------- shared


def _categories(categories: Array, *, strings: bool) -> list[Any]:
    """A column's categories as ONNX values, with missing ones as it sees them."""
    values = categories.tolist()
    if not strings:
        try:
            return [math.nan if is_missing(value) else float(value) for value in values]
        except (TypeError, ValueError) as error:
            raise ConversionError(
                f"an encoder was trained on the categories {values[:5]!r}, but its column holds numbers in the "
                "sample: give a sample of the same types as the training data"
            ) from error
    known = ["" if is_missing(value) else value for value in values]
    if not all(isinstance(value, str) for value in known):
        raise ConversionError(
            f"an encoder was trained on the categories {values[:5]!r}, but its column holds strings in the sample: "
            "give a sample of the same types as the training data"
        )
    if len(set(known)) != len(known):
        raise ConversionError(
            "an encoder tells the empty string from a missing one, which JSON null cannot: "
            "replace one of them before training"
        )
    return known


def _place(writer: GraphWriter, column: str, known: list[Any], dtype: np.dtype[Any], *, strings: bool) -> str:
    """``int64[rows, 1]``: the number of each value's category, and the number of categories where it has none."""
    if strings:
        numbers = list(range(len(known)))
        return writer.add_ml(
            "LabelEncoder",
            column,
            version=2,
            keys_strings=known,
            values_int64s=numbers,
            default_int64=len(known),
        )[0]
    match = writer.cast(_equal(writer, column, np.array(known, np.float64), dtype), np.float32)
    # A value that matches nothing falls through to the last place, which always matches a little.
    last = writer.add("Pad", match, writer.constant([0, 0, 0, 1], np.int64), writer.constant(0.5, np.float32))
    return writer.add("ArgMax", last, axis=1, keepdims=1)


def _equal(writer: GraphWriter, column: str, known: Array, dtype: np.dtype[Any]) -> str:
    """``bool[rows, categories]``: which category a number is; NaN is equal to NaN."""
    match = writer.add("Equal", column, writer.constant(known[None, :], dtype))
    if np.isnan(known).any():
        nan = writer.constant(np.isnan(known)[None, :])
        match = writer.add("Or", match, writer.add("And", writer.add("IsNaN", column), nan))
    return match


def _columns(writer: GraphWriter, operator: Any) -> list[tuple[str, bool]]:
    """Each column of the operator's inputs as a tensor ``[rows, 1]``, and whether it holds strings."""
    from skl2onnx.common.data_types import StringTensorType

    dtype = _dtype(operator)
    columns: list[tuple[str, bool]] = []
    for variable in operator.inputs:
        strings = isinstance(variable.type, StringTensorType)
        name = variable.full_name if strings else _as(writer, variable, dtype)
        width = variable.type.shape[1]
        if width == 1:
            columns.append((name, strings))
            continue
        for place in range(width):
            index = writer.constant([place], np.int64)
            columns.append((writer.add("Gather", name, index, axis=1), strings))
    return columns


def _joined(writer: GraphWriter, operator: Any, dtype: np.dtype[Any]) -> str:
    names = [
        str(variable.full_name) if dtype.kind == "O" else _as(writer, variable, dtype)
        for variable in operator.inputs
    ]
    return names[0] if len(names) == 1 else writer.add("Concat", *names, axis=1)


def _as(writer: GraphWriter, variable: Any, dtype: np.dtype[Any]) -> str:
    from skl2onnx.common.data_types import guess_numpy_type

    name = str(variable.full_name)
    return name if np.dtype(guess_numpy_type(variable.type)) == dtype else writer.cast(name, dtype)


def _strings(operator: Any) -> bool:
    from skl2onnx.common.data_types import StringTensorType

    return all(isinstance(variable.type, StringTensorType) for variable in operator.inputs)


def _dtype(operator: Any) -> np.dtype[Any]:
    """The floating-point type of the graph, as the operator's output tells."""
    return np.dtype(np.float64 if is_double(operator.outputs[0]) else np.float32)
