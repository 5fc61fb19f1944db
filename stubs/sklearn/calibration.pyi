from typing import Any

from sklearn.base import BaseEstimator, ClassifierMixin

class CalibratedClassifierCV(ClassifierMixin, BaseEstimator): ...

def calibration_curve(*args: Any, **kwargs: Any) -> Any: ...
