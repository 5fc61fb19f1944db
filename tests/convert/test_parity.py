"""The comparison finds what is wrong with a converted model, and only that."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from foretell.convert import Conversion, convert
from foretell.convert.frame import Frame
from foretell.convert.original import Original
from foretell.convert.parity import compare
from foretell.convert.probes import make_probes
from foretell.convert.served import Served
from foretell.convert.sklearn_onnx import GraphInput, convert_estimator
from foretell.store.manifest import ParityReport
from foretell.tensors import Array


def silent(done: float) -> None:
    del done


def tampered(estimator: Any, X: Any, change: Any, *, is_string: bool = False) -> ParityReport:
    """The report on a converted estimator whose graph has been changed."""
    original = Original(estimator, Frame.of(X, estimator))
    graph_input = GraphInput("features", is_string=is_string, width=X.shape[1])
    proto = convert_estimator(estimator, [graph_input], "float32")
    served = Served.of(proto, original, "float32")
    model = onnx.load_from_string(served.model)
    change(model)
    served = msgspec.structs.replace(served, model=model.SerializeToString())
    probes = make_probes(original, served.frame, 300, 0, silent)
    return compare(
        served,
        original,
        served.frame.rows,
        probes,
        tolerance=1e-5,
        precision="float32",
        on_progress=silent,
    )


def move_a_threshold(model: Any) -> None:
    """Move one split by one float32 step."""
    (node,) = [node for node in model.graph.node if node.op_type.startswith("TreeEnsemble")]
    (attribute,) = [attribute for attribute in node.attribute if attribute.name == "nodes_values_as_tensor"]
    values = numpy_helper.to_array(attribute.t).copy()
    root = int(np.flatnonzero(values)[0])
    values[root] = np.nextafter(np.float32(values[root]), np.float32(np.inf))
    attribute.t.CopyFrom(numpy_helper.from_array(values, attribute.t.name))


def change_a_weight(model: Any) -> None:
    """Make one leaf of a regression tree a thousandth larger."""
    (node,) = [node for node in model.graph.node if node.op_type.startswith("TreeEnsemble")]
    (attribute,) = [attribute for attribute in node.attribute if attribute.name == "target_weights_as_tensor"]
    weights = numpy_helper.to_array(attribute.t).copy()
    weights[0] *= 1.001
    attribute.t.CopyFrom(numpy_helper.from_array(weights, attribute.t.name))


def leave(model: Any) -> None:
    del model


def test_an_untouched_model_agrees(iris: tuple[Array, Array]) -> None:
    X, y = iris
    report = tampered(DecisionTreeClassifier(random_state=0).fit(X, y), X, leave)
    assert report.agrees
    assert report.max_abs_diff == 0
    assert report.worst_row is None


def test_a_threshold_moved_by_one_float32_step_is_found(iris: tuple[Array, Array]) -> None:
    X, y = iris
    report = tampered(DecisionTreeClassifier(random_state=0).fit(X, y), X, move_a_threshold)
    assert not report.agrees
    assert report.label_disagreements > 0
    assert report.worst_row is not None


def test_a_changed_leaf_is_found(diabetes: tuple[Array, Array]) -> None:
    X, y = diabetes
    report = tampered(DecisionTreeRegressor(max_depth=3).fit(X, y), X, change_a_weight)
    assert not report.agrees
    assert report.beyond_tolerance > 0
    assert report.label_disagreements == 0
    assert 1e-4 < report.max_rel_diff < 1e-2


@pytest.fixture(scope="module")
def scaled_forest(cancer: tuple[Array, Array]) -> Any:
    X, y = cancer
    forest = RandomForestClassifier(100, max_depth=8, random_state=0)
    return make_pipeline(StandardScaler(), forest).fit(X[:369], y[:369])


def test_a_float32_scaler_before_a_forest_is_found(scaled_forest: Any, cancer: tuple[Array, Array]) -> None:
    conversion = convert(scaled_forest, cancer[0][:369], precision="float32", probes=500)
    assert not conversion.agrees
    assert conversion.parity.precision == "float32"


def test_and_float64_mends_it(scaled_forest: Any, cancer: tuple[Array, Array]) -> None:
    conversion = convert(scaled_forest, cancer[0][:369])
    assert conversion.agrees
    assert conversion.parity.precision == "float64"
    assert conversion.parity.label_disagreements == 0
    assert conversion.parity.ties == 0
    assert conversion.parity.max_abs_diff < 1e-7
    assert conversion.parity.probes == 2000


def test_float32_is_taken_where_it_agrees(iris: tuple[Array, Array]) -> None:
    X, y = iris
    conversion = convert(LogisticRegression(max_iter=1000).fit(X, y), X, probes=200)
    assert conversion.agrees
    assert conversion.parity.precision == "float32"
    assert conversion.parity.ties > 0  # the probes beside the decision boundary


def test_float64_is_taken_when_asked_for(iris: tuple[Array, Array]) -> None:
    X, y = iris
    conversion = convert(LogisticRegression(max_iter=1000).fit(X, y), X, probes=200, precision="float64")
    assert conversion.agrees
    assert conversion.signature.columns[0].dtype == "float64"
    assert conversion.parity.max_abs_diff < 1e-14


def test_a_converter_that_is_wrong_is_reported(iris: tuple[Array, Array]) -> None:
    """skl2onnx weighs neighbours by their distance, but not those at distance zero as scikit-learn does."""
    X, y = iris
    conversion = convert(KNeighborsClassifier(weights="distance").fit(X, y), X, probes=100)
    assert not conversion.agrees
    assert conversion.parity.beyond_tolerance > 0


def test_an_edge_that_only_rounding_decides_is_no_mismatch(diabetes: tuple[Array, Array]) -> None:
    X, y = diabetes
    conversion = convert(KNeighborsRegressor().fit(X[:100], y[:100]), X[:100], probes=600)
    assert conversion.agrees, conversion.parity
    assert conversion.parity.ties > 0


def test_a_narrow_tolerance_is_kept_to(diabetes: tuple[Array, Array]) -> None:
    X, y = diabetes
    estimator = LinearRegression().fit(X, y)
    strict = convert(estimator, X, tolerance=1e-12, probes=50)
    assert strict.agrees
    assert strict.parity.precision == "float64"
    assert strict.parity.tolerance == 1e-12


def test_the_same_estimator_gives_the_same_report(iris: tuple[Array, Array]) -> None:
    X, y = iris
    estimator = RandomForestClassifier(4, random_state=0).fit(X, y)

    def once() -> Conversion:
        return convert(estimator, X, probes=200)

    first, second = once(), once()
    assert first.parity == second.parity
    assert first.model == second.model
    assert first.signature == second.signature


@pytest.mark.parametrize("scaled", [False, True], ids=["float32", "float64-in-the-end"])
def test_progress_is_told_stage_by_stage(scaled: bool, iris: tuple[Array, Array]) -> None:
    X, y = iris
    told: list[tuple[str, float]] = []
    estimator = RandomForestClassifier(4, random_state=0)
    estimator = (make_pipeline(StandardScaler(), estimator) if scaled else estimator).fit(X, y)
    convert(estimator, X, probes=100, on_progress=lambda stage, done: told.append((stage, done)))
    assert list(dict.fromkeys(stage for stage, _ in told)) == ["convert", "probe", "compare"]
    assert all(0 <= done <= 1 for _, done in told)
    for stage in ("convert", "probe", "compare"):
        fractions = [done for name, done in told if name == stage]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1


def test_probes_lie_on_both_sides_of_each_threshold(iris: tuple[Array, Array]) -> None:
    X, y = iris
    estimator = DecisionTreeClassifier(max_depth=2, random_state=0).fit(X, y)
    original = Original(estimator, Frame.of(X, estimator))
    probes = make_probes(original, original.frame, 600, 0, silent)
    thresholds = original.thresholds()
    assert thresholds
    for at, threshold in thresholds:
        values = {float(row[at] or 0) for row in probes}
        assert {threshold, np.nextafter(threshold, -np.inf), np.nextafter(threshold, np.inf)} <= values


def test_probes_have_gaps_only_where_the_sample_has(customers: tuple[Any, Array]) -> None:
    frame, y = customers
    numbers = frame[["age", "income", "visits"]]
    estimator = RandomForestClassifier(4, random_state=0).fit(numbers, y)
    original = Original(estimator, Frame.of(numbers, estimator))
    probes = make_probes(original, original.frame, 400, 0, silent)
    assert {at for row in probes for at, value in enumerate(row) if value is None} == {1, 2}


def test_a_model_that_fails_on_some_rows_is_found(customers: tuple[Any, Array]) -> None:
    """An encoder that ONNX Runtime lets fail on what is unknown, where the original goes on."""
    frame, y = customers
    plans = frame[["plan"]]
    estimator = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(plans, y)

    def forbid_unknown(model: Any) -> None:
        (node,) = [node for node in model.graph.node if node.op_type == "OneHotEncoder"]
        (attribute,) = [attribute for attribute in node.attribute if attribute.name == "zeros"]
        attribute.i = 0

    report = tampered(estimator, plans, forbid_unknown, is_string=True)

    assert not report.agrees
    assert report.reason is not None
    assert "fails where the original answers" in report.reason
    assert report.label_disagreements > 0


def test_a_model_that_answers_in_another_shape_is_found(iris: tuple[Array, Array]) -> None:
    X, y = iris

    def double_the_width(model: Any) -> None:
        for node in model.graph.node:
            names = ["wide" if name == "probabilities" else name for name in node.output]
            del node.output[:]
            node.output.extend(names)
        model.graph.node.append(onnx.helper.make_node("Concat", ["wide", "wide"], ["probabilities"], axis=1))
        model.graph.output[1].type.tensor_type.shape.dim[1].dim_value = 6

    report = tampered(DecisionTreeClassifier(random_state=0).fit(X, y), X, double_the_width)

    assert report.reason is not None
    assert report.reason.startswith("'probabilities' has the shape")
    assert report.label_disagreements == report.rows
    assert not report.agrees


class Fickle(ClassifierMixin, BaseEstimator):
    """Refuses what lies beyond its training data."""

    def __init__(self, inner: Any = None) -> None:
        self.inner = inner

    def fit(self, X: Array, y: Array) -> Fickle:
        self.classes_ = np.unique(y)
        self.highest_ = X.max()
        self.inner_ = self.inner.fit(X, y)
        return self

    def predict(self, X: Array) -> Array:
        if X.max() > self.highest_:
            raise ValueError("too high")
        return np.asarray(self.inner_.predict(X))


def test_rows_that_the_original_refuses_are_left_out(iris: tuple[Array, Array]) -> None:
    X, y = iris
    fickle = Fickle(DecisionTreeClassifier(random_state=0)).fit(X, y)
    original = Original(fickle, Frame.of(X, fickle))
    rows = [(1.0, 1.0, 1.0, 1.0), (9.0, 9.0, 9.0, 9.0), (2.0, 2.0, 2.0, 2.0)]
    assert [numbers for numbers, _ in original.answer_each(rows)] == [[0], [2]]
    with pytest.raises(ValueError, match="too high"):
        original.answer(rows)
