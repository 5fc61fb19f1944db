"""Trained estimators as ONNX models that are proven to answer alike.

Importing this needs none of the libraries that convert; calling it does: ``pip install 'foretell[convert]'``.
"""

from foretell.convert.conversion import PROBES, TOLERANCE, Conversion, convert
from foretell.convert.loading import load_estimator, load_sample

__all__ = ["PROBES", "TOLERANCE", "Conversion", "convert", "load_estimator", "load_sample"]
