from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    RegressorMixin,
    TransformerMixin,
)

class BernoulliRBM(TransformerMixin, BaseEstimator): ...
class MLPClassifier(ClassifierMixin, BaseEstimator): ...
class MLPRegressor(RegressorMixin, BaseEstimator): ...
