"""Saves an ONNX file as a model of MLflow's: python mlflow_model.py FOLDER."""

from __future__ import annotations

import os
import sys

import mlflow.onnx
import onnx

if __name__ == "__main__":
    mlflow.onnx.save_model(onnx.load(os.environ["MODEL"]), sys.argv[1], save_as_external_data=False)
