"""The model as every contender on ONNX Runtime has it: one thread, rows in, outputs by name out."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime

__all__ = ["OnnxModel"]


class OnnxModel:
    """A session of its own.

    Args:
        path: The ONNX file; that of the variable MODEL if it is not given.
    """

    def __init__(self, path: str | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            path or os.environ["MODEL"], options, providers=["CPUExecutionProvider"]
        )
        (taken,) = self.session.get_inputs()
        self.input = taken.name
        self.dtype = {"tensor(float)": np.float32, "tensor(double)": np.float64}[taken.type]
        self.outputs = [each.name for each in self.session.get_outputs()]

    def run(self, rows: Any) -> dict[str, np.ndarray]:
        """Predict some rows, lists or an array."""
        answers = self.session.run(self.outputs, {self.input: np.asarray(rows, self.dtype)})
        return dict(zip(self.outputs, answers, strict=True))

    def run_lists(self, rows: Any) -> dict[str, list[Any]]:
        """The same, as lists."""
        return {name: answer.tolist() for name, answer in self.run(rows).items()}
