"""Every kind of estimator answers the same after it is converted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import (
    cluster,
    compose,
    decomposition,
    discriminant_analysis,
    dummy,
    ensemble,
    feature_selection,
    gaussian_process,
    impute,
    linear_model,
    mixture,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    preprocessing,
    svm,
    tree,
)
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import FeatureUnion, make_pipeline

from foretell.convert import convert
from foretell.tensors import Array
from tests.convert.served_answers import answers, json_rows

LOGISTIC = linear_model.LogisticRegression(max_iter=2000)
SCALED_LOGISTIC = make_pipeline(preprocessing.StandardScaler(), LOGISTIC)
FOREST = ensemble.RandomForestClassifier(8, random_state=0)

CLASSIFIERS: dict[str, Any] = {
    "logistic": SCALED_LOGISTIC,
    "ridge": linear_model.RidgeClassifier(),
    "sgd": linear_model.SGDClassifier(loss="log_loss", random_state=0),
    "perceptron": linear_model.Perceptron(),
    "linear-svc": make_pipeline(preprocessing.StandardScaler(), svm.LinearSVC()),
    "svc-rbf": make_pipeline(preprocessing.StandardScaler(), svm.SVC()),
    "svc-poly": svm.SVC(kernel="poly"),
    "svc-sigmoid": make_pipeline(preprocessing.StandardScaler(), svm.SVC(kernel="sigmoid")),
    "svc-one-versus-one": svm.SVC(kernel="linear", decision_function_shape="ovo"),
    "svc-break-ties": svm.SVC(break_ties=True),
    "nu-svc": svm.NuSVC(nu=0.2),
    "gaussian-bayes": naive_bayes.GaussianNB(),
    "multinomial-bayes": naive_bayes.MultinomialNB(),
    "bernoulli-bayes": naive_bayes.BernoulliNB(binarize=3.0),
    "neighbours": neighbors.KNeighborsClassifier(),
    "mlp": make_pipeline(
        preprocessing.StandardScaler(),
        neural_network.MLPClassifier((8,), max_iter=1500, tol=1e-2, random_state=0),
    ),
    "discriminant": discriminant_analysis.LinearDiscriminantAnalysis(),
    "quadratic": discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1),
    "tree": tree.DecisionTreeClassifier(random_state=0),
    "extra-tree": tree.ExtraTreeClassifier(random_state=0),
    "forest": FOREST,
    "even-forest": ensemble.RandomForestClassifier(2, random_state=0),
    "extra-trees": ensemble.ExtraTreesClassifier(8, random_state=0),
    "ada-boost": ensemble.AdaBoostClassifier(n_estimators=6, random_state=0),
    "bagging": ensemble.BaggingClassifier(n_estimators=4, random_state=0),
    "bagging-some-columns": ensemble.BaggingClassifier(n_estimators=4, max_features=0.5, random_state=0),
    "gradient-boosting": ensemble.GradientBoostingClassifier(n_estimators=6, random_state=0),
    "gradient-boosting-from-zero": ensemble.GradientBoostingClassifier(
        n_estimators=6, init="zero", random_state=0
    ),
    "histogram-boosting": ensemble.HistGradientBoostingClassifier(max_iter=6, random_state=0),
    "voting-soft": ensemble.VotingClassifier([("a", SCALED_LOGISTIC), ("b", FOREST)], voting="soft"),
    "voting-hard": ensemble.VotingClassifier(
        [("a", SCALED_LOGISTIC), ("b", FOREST), ("c", naive_bayes.GaussianNB())]
    ),
    "stacking": ensemble.StackingClassifier(
        [("a", naive_bayes.GaussianNB()), ("b", FOREST)], final_estimator=LOGISTIC, cv=2
    ),
    "calibrated": CalibratedClassifierCV(naive_bayes.GaussianNB(), cv=2),
    "one-versus-rest": multiclass.OneVsRestClassifier(SCALED_LOGISTIC),
    "search": model_selection.GridSearchCV(
        tree.DecisionTreeClassifier(random_state=0), {"max_depth": [2, 3]}, cv=2
    ),
    "baseline": dummy.DummyClassifier(),
    "scaled-forest": make_pipeline(preprocessing.StandardScaler(), FOREST),
    "min-max-neighbours": make_pipeline(preprocessing.MinMaxScaler(), neighbors.KNeighborsClassifier()),
    "components": make_pipeline(preprocessing.StandardScaler(), decomposition.PCA(3), LOGISTIC),
    "polynomial": make_pipeline(
        preprocessing.StandardScaler(), preprocessing.PolynomialFeatures(2), LOGISTIC
    ),
    "bins": make_pipeline(
        preprocessing.KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"), naive_bayes.BernoulliNB()
    ),
    "selection": make_pipeline(
        feature_selection.SelectKBest(k=3), tree.DecisionTreeClassifier(random_state=0)
    ),
}


@pytest.mark.parametrize("data", ["iris", "cancer"])
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_answers_as_before(kind: str, data: str, request: pytest.FixtureRequest) -> None:
    X, y = request.getfixturevalue(data)
    some, held_back = X[:100, :8], X[100:300, :8]
    estimator = clone(CLASSIFIERS[kind]).fit(some, y[:100])

    conversion = convert(estimator, some, probes=200)

    assert conversion.agrees, conversion.parity
    given = answers(conversion, json_rows(held_back))
    assert given["label"].tolist() == estimator.predict(held_back).tolist()
    if hasattr(estimator, "predict_proba"):
        np.testing.assert_allclose(
            given["probabilities"], estimator.predict_proba(held_back), rtol=1e-5, atol=1e-5
        )
        assert conversion.signature.probabilities == "probabilities"
    elif "scores" in given:
        np.testing.assert_allclose(
            given["scores"], estimator.decision_function(held_back), rtol=1e-4, atol=1e-4
        )
    assert conversion.signature.task == "classification"
    assert conversion.signature.classes == tuple(np.unique(y[:100]).tolist())
    assert conversion.signature.prediction == "label"


REGRESSORS: dict[str, Any] = {
    "linear": linear_model.LinearRegression(),
    "ridge": linear_model.Ridge(),
    "lasso": linear_model.Lasso(),
    "bayesian": linear_model.BayesianRidge(),
    "huber": linear_model.HuberRegressor(max_iter=1000),
    "poisson": linear_model.PoissonRegressor(),
    "svr": svm.SVR(),
    "neighbours": neighbors.KNeighborsRegressor(),
    "mlp": neural_network.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2000, tol=10.0, random_state=0),
    "gaussian-process": gaussian_process.GaussianProcessRegressor(alpha=1.0, optimizer=None),
    "tree": tree.DecisionTreeRegressor(random_state=0),
    "forest": ensemble.RandomForestRegressor(8, random_state=0),
    "extra-trees": ensemble.ExtraTreesRegressor(8, random_state=0),
    "ada-boost": ensemble.AdaBoostRegressor(n_estimators=6, random_state=0),
    "bagging": ensemble.BaggingRegressor(n_estimators=4, random_state=0),
    "gradient-boosting": ensemble.GradientBoostingRegressor(n_estimators=8, random_state=0),
    "histogram-boosting": ensemble.HistGradientBoostingRegressor(max_iter=8, random_state=0),
    "histogram-boosting-poisson": ensemble.HistGradientBoostingRegressor(loss="poisson", max_iter=8),
    "voting": ensemble.VotingRegressor(
        [("a", linear_model.Ridge()), ("b", ensemble.RandomForestRegressor(4, random_state=0))]
    ),
    "stacking": ensemble.StackingRegressor(
        [("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor(random_state=0))], cv=2
    ),
    "logarithmic-target": compose.TransformedTargetRegressor(
        linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1
    ),
    "scaled-target": compose.TransformedTargetRegressor(
        linear_model.Ridge(), transformer=preprocessing.StandardScaler()
    ),
    "min-max-target": compose.TransformedTargetRegressor(
        linear_model.Ridge(), transformer=preprocessing.MinMaxScaler()
    ),
    "baseline": dummy.DummyRegressor(),
}


def _assert_regression(estimator: Any, X: Array) -> None:
    conversion = convert(estimator, X[:100], probes=200)

    assert conversion.agrees, conversion.parity
    held_back = X[100:300]
    expected = estimator.predict(held_back).reshape(len(held_back), -1)
    given = answers(conversion, json_rows(held_back))["prediction"]
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5)
    assert conversion.signature.task == "regression"
    assert conversion.signature.outputs[0].shape == ("batch", expected.shape[1])


@pytest.mark.parametrize("kind", REGRESSORS)
def test_a_regressor_answers_as_before(kind: str, diabetes: tuple[Array, Array]) -> None:
    X, y = diabetes
    _assert_regression(clone(REGRESSORS[kind]).fit(X[:100], y[:100]), X)


@pytest.mark.parametrize(
    "estimator",
    [
        linear_model.LinearRegression(),
        tree.DecisionTreeRegressor(random_state=0),
        ensemble.RandomForestRegressor(4, random_state=0),
        multioutput.MultiOutputRegressor(ensemble.GradientBoostingRegressor(n_estimators=4, random_state=0)),
        neighbors.KNeighborsRegressor(),
    ],
    ids=["linear", "tree", "forest", "one-for-each", "neighbours"],
)
def test_a_regressor_of_two_targets_answers_as_before(estimator: Any, diabetes: tuple[Array, Array]) -> None:
    X, y = diabetes
    targets = np.column_stack([y, 2 * y + X[:, 0]])
    _assert_regression(clone(estimator).fit(X[:100], targets[:100]), X)


OTHERS: dict[str, Any] = {
    "k-means": cluster.KMeans(3, n_init=1, random_state=0),
    "mini-batch-k-means": cluster.MiniBatchKMeans(3, n_init=1, random_state=0),
    "mixture": mixture.GaussianMixture(3, random_state=0),
    "isolation-forest": ensemble.IsolationForest(n_estimators=20, random_state=0),
    "isolation-forest-with-threshold": ensemble.IsolationForest(
        n_estimators=20, contamination=0.1, max_samples=30, random_state=0
    ),
    "isolation-forest-on-some-columns": ensemble.IsolationForest(
        n_estimators=9, max_features=2, random_state=0
    ),
    "one-class-svm": svm.OneClassSVM(),
    "local-outliers": neighbors.LocalOutlierFactor(novelty=True),
    "components": decomposition.PCA(2),
    "kernel-components": decomposition.KernelPCA(2),
    "scaler": preprocessing.StandardScaler(),
    "robust-scaler": preprocessing.RobustScaler(),
    "normalizer": preprocessing.Normalizer(),
    "power": preprocessing.PowerTransformer(),
    "bins": preprocessing.KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf"),
    "function": make_pipeline(preprocessing.FunctionTransformer(np.log1p), preprocessing.StandardScaler()),
    "square": preprocessing.FunctionTransformer(np.square),
    "root": preprocessing.FunctionTransformer(np.sqrt),
    "identity": preprocessing.FunctionTransformer(),
    "imputer": impute.SimpleImputer(),
    "union": FeatureUnion([("a", decomposition.PCA(2)), ("b", preprocessing.StandardScaler())]),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_an_estimator_without_a_target_answers_as_before(kind: str, iris: tuple[Array, Array]) -> None:
    X, _ = iris
    estimator = clone(OTHERS[kind]).fit(X[:100])
    held_back = X[100:]

    conversion = convert(estimator, X[:100], probes=200)

    assert conversion.agrees, conversion.parity
    given = answers(conversion, json_rows(held_back))
    assert conversion.signature.task == "other"
    assert conversion.signature.classes is None
    if hasattr(estimator, "predict"):
        assert given["label"].tolist() == estimator.predict(held_back).tolist()
        assert given["label"].dtype == np.int64
    else:
        np.testing.assert_allclose(
            given["transformed"], np.asarray(estimator.transform(held_back)), rtol=1e-4, atol=1e-5
        )
    if hasattr(estimator, "decision_function"):
        np.testing.assert_allclose(
            given["scores"], estimator.decision_function(held_back), rtol=1e-5, atol=1e-5
        )
