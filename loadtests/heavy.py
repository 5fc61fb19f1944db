"""A model that takes long enough for its runs to matter: a chain of matrix products."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

__all__ = ["NAME", "WIDTH", "body", "write_heavy"]

NAME: Final = "heavy"
WIDTH: Final = 32


def write_heavy(
    store: Path, *, hidden: int = 1536, depth: int = 3, name: str = NAME, batching: str = "auto"
) -> Path:
    """Put it into a store as version 1, without a manifest.

    Args:
        store: The store's folder; made if it is not there.
        hidden: The width of the products; a run takes as long as reading their weights, or computing on them.
        depth: How many there are.
        name: The model's name.
        batching: What model.toml says of batching.

    Returns:
        The model file.
    """
    rng = np.random.default_rng(7)
    sizes = [WIDTH, *[hidden] * depth, 4]
    weights = [
        numpy_helper.from_array(
            (rng.standard_normal((one, other)) / one**0.5).astype(np.float32), f"W{number}"
        )
        for number, (one, other) in enumerate(itertools.pairwise(sizes))
    ]
    nodes = []
    at = "X"
    for number, weight in enumerate(weights):
        last = number == len(weights) - 1
        nodes.append(helper.make_node("MatMul", [at, weight.name], ["Y" if last else f"M{number}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"M{number}"], [f"H{number}"]))
            at = f"H{number}"
    graph = helper.make_graph(
        nodes,
        "heavy",
        [helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info("Y", onnx.TensorProto.FLOAT, ["batch", 4])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    folder = store / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (store / name / "model.toml").write_text(f'[batching]\nmode = "{batching}"\n')
    return folder / "model.onnx"


def body(rows: int = 1) -> bytes:
    """A request of some rows."""
    instances = np.random.default_rng(0).standard_normal((rows, WIDTH)).round(3).tolist()
    return json.dumps({"instances": instances}).encode()
