"""scikit-learn estimators as ONNX graphs, through skl2onnx and the converters of this package."""

from __future__ import annotations

import contextlib
import copy
import importlib
import warnings
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from foretell.convert import (
    baselines,
    binning,
    boosting,
    encoders,
    forests,
    functions,
    isolation,
    linear,
    power,
    scaling,
    svm,
    vectorizers,
    wrappers,
)
from foretell.convert.nodes import ML, OPSET, OPSET_ML
from foretell.convert.registry import Registry
from foretell.errors import ConversionError, ForetellError
from foretell.tensors import Array

__all__ = ["GraphInput", "Precision", "convert_estimator", "last_step", "with_last_step"]

Precision = Literal["float32", "float64"]
"""The floating-point type that a graph computes in."""


_MODULES: Final = (
    baselines,
    binning,
    boosting,
    encoders,
    forests,
    functions,
    isolation,
    linear,
    power,
    scaling,
    svm,
    vectorizers,
    wrappers,
)
"""Where converters of this package are; each has a function `register`."""


class GraphInput(NamedTuple):
    """One input of the graph to be made.

    Attributes:
        name: Its name.
        is_string: Whether it holds strings rather than numbers.
        width: How many columns it has; None for a tensor ``[batch]``.
    """

    name: str
    is_string: bool
    width: int | None


def convert_estimator(estimator: Any, inputs: list[GraphInput], precision: Precision) -> Any:
    """Convert an estimator or pipeline.

    Args:
        estimator: A fitted estimator of scikit-learn.
        inputs: The graph's inputs. Where the estimator picks columns, they are single columns of that name.
        precision: The type of its numbers.

    Returns:
        The ``onnx.ModelProto``.

    Raises:
        ConversionError: There is no ONNX form of the estimator or of one of its steps.
    """
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

    floating = DoubleTensorType if precision == "float64" else FloatTensorType
    types = [
        (
            entry.name,
            (StringTensorType if entry.is_string else floating)(
                [None] if entry.width is None else [None, entry.width]
            ),
        )
        for entry in inputs
    ]
    estimator = _with_plain_labels(estimator)
    registry = Registry(floating)
    for module in _MODULES:
        module.register(registry)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # skl2onnx warns of its own deprecated calls
            model = convert_sklearn(
                estimator,
                name="model",
                initial_types=types,
                options=_options(estimator),
                target_opset={"": OPSET, ML: OPSET_ML},
                custom_conversion_functions=registry.converters,
                custom_shape_calculators=registry.shapes,
                custom_parsers=registry.parsers,
            )
    except ForetellError:
        raise
    except (MissingConverter, MissingShapeCalculator) as error:
        raise ConversionError(
            f"{_culprit(estimator, str(error))} has no ONNX form: replace that step with another of scikit-learn's, "
            "or do it before the data is sent"
        ) from error
    except Exception as error:  # skl2onnx raises whatever its converters stumble over
        first = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise ConversionError(
            f"{_culprit(estimator, str(error))} cannot be converted as it is configured: "
            f"{type(error).__name__}: {first}"
        ) from error
    _use_portable_locale(model)
    if any(node.op_type == "TreeEnsemble" for node in model.graph.node):
        for entry in model.opset_import:
            if entry.domain == ML:
                entry.version = 5  # skl2onnx knows none above 3
    return model


def _use_portable_locale(model: Any) -> None:
    """Name a locale for lower-casing that small images have too; en_US, the default, is often absent."""
    from onnx import helper

    for node in model.graph.node:
        if node.op_type == "StringNormalizer":
            kept = [attribute for attribute in node.attribute if attribute.name != "locale"]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("locale", "C.UTF-8")])


def last_step(estimator: Any) -> Any:
    """The estimator that gives the answer: a pipeline's last step, a search's best estimator."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "steps") and hasattr(estimator, "named_steps"):
            estimator = estimator.steps[-1][1]
        else:
            return estimator


def with_last_step(estimator: Any, **parameters: Any) -> Any:
    """A copy made of the same fitted parts, but for some attributes of the last step."""
    changed = copy.copy(estimator)
    if hasattr(estimator, "best_estimator_"):
        changed.best_estimator_ = with_last_step(estimator.best_estimator_, **parameters)
    elif hasattr(estimator, "steps") and hasattr(estimator, "named_steps"):
        name, last = estimator.steps[-1]
        changed.steps = [*estimator.steps[:-1], (name, with_last_step(last, **parameters))]
    else:
        for name, value in parameters.items():
            setattr(changed, name, value)
    return changed


def _with_plain_labels(estimator: Any) -> Any:
    """The estimator with its integer labels as int64, the one kind of integer that label operators know."""
    found: Any = getattr(last_step(estimator), "classes_", None)
    if isinstance(found, list):  # one array for each output
        return estimator
    classes: Array = np.asarray(() if found is None else found)
    if classes.dtype.kind in "iu" and classes.dtype != np.int64:
        with contextlib.suppress(AttributeError):  # a property of some that wrap others
            return with_last_step(estimator, classes_=classes.astype(np.int64))
    return estimator


def _options(estimator: Any) -> dict[int, dict[str, Any]]:
    """Plain tensors instead of maps; decision scores where there are no probabilities."""
    from sklearn.base import is_classifier

    last = last_step(estimator)
    if not is_classifier(last):
        return {}
    allowed = _allowed_options(last)
    options: dict[str, Any] = {}
    if "zipmap" in allowed:
        options["zipmap"] = False
    if "raw_scores" in allowed and not hasattr(last, "predict_proba"):
        options["raw_scores"] = True
    return {id(step): options for step in (estimator, last)}


def _allowed_options(estimator: Any) -> dict[str, Any]:
    registration: Any = importlib.import_module("skl2onnx.common._registration")
    supported: Any = importlib.import_module("skl2onnx._supported_operators")
    alias = supported.sklearn_operator_name_map.get(type(estimator))
    try:
        return registration.get_converter(alias).get_allowed_options() or {}
    except ValueError:
        return {}


def _culprit(estimator: Any, text: str) -> str:
    """The step that a message of skl2onnx is about, as ``step 'name' (Class)``."""
    found: list[str] = []

    def search(node: Any, path: str) -> None:
        for name, child in _children(node):
            where = f"{path}.{name}" if path else name
            if type(child).__name__ in text:
                found.append(f"step {where!r} ({type(child).__name__})")
            search(child, where)

    search(estimator, "")
    return found[-1] if found else type(estimator).__name__


def _children(estimator: Any) -> list[tuple[str, Any]]:
    if hasattr(estimator, "steps"):
        return list(estimator.steps)
    if hasattr(estimator, "transformers_"):
        return [(name, child) for name, child, _ in estimator.transformers_]
    if hasattr(estimator, "transformer_list"):
        return list(estimator.transformer_list)
    if hasattr(estimator, "best_estimator_"):
        return [("best_estimator_", estimator.best_estimator_)]
    return []
