"""Tiny ONNX models and stores of them, made on the spot: what the tests serve."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from foretell.signature import Signature, Tensor
from foretell.store.manifest import FORMAT_VERSION, MANIFEST_FILE, MODEL_FILE, FileDigest, Manifest
from foretell.tensors import DTYPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from foretell.signature import Dimension
    from foretell.tensors import DTypeName

__all__ = [
    "ELEMENT_TYPES",
    "classifier_bytes",
    "digest_of",
    "endless_model_bytes",
    "failing_model_bytes",
    "graph_of",
    "identity_bytes",
    "linear_model_bytes",
    "make_manifest",
    "model_bytes",
    "open_width_bytes",
    "signature_of",
    "slow_model_bytes",
    "two_input_bytes",
    "value_info",
    "write_model_toml",
    "write_version",
]

ELEMENT_TYPES: dict[DTypeName, int] = {
    name: TensorProto.STRING
    if name == "string"
    else int(helper.np_dtype_to_tensor_dtype(np.dtype("bool" if name == "bool" else name)))
    for name in DTYPES
}
"""ONNX's number of each element type that can be served."""


def value_info(name: str, dtype: DTypeName, shape: Sequence[Dimension] | None) -> onnx.ValueInfoProto:
    """An input or output of a graph; a shape of None says nothing, not even the rank."""
    return helper.make_tensor_value_info(name, ELEMENT_TYPES[dtype], None if shape is None else list(shape))


def graph_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: Mapping[str, Any] | None = None,
) -> onnx.GraphProto:
    """A graph; the initializers are arrays by name."""
    tensors = [
        numpy_helper.from_array(np.asarray(value), name) for name, value in (initializers or {}).items()
    ]
    return helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), tensors)


def model_bytes(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: Mapping[str, Any] | None = None,
    *,
    functions: Sequence[onnx.FunctionProto] = (),
    domains: Mapping[str, int] | None = None,
) -> bytes:
    """A model file. ONNX's own operator set is imported; `domains` adds others, with their versions."""
    opsets = [helper.make_opsetid(domain, version) for domain, version in {"": 21, **(domains or {})}.items()]
    graph = graph_of(nodes, inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=10)
    return bytes(model.SerializeToString())


def linear_model_bytes(
    features: int = 2,
    *,
    weights: Sequence[float] | None = None,
    bias: float = 0.0,
    dtype: DTypeName = "float32",
    rows: Dimension = "batch",
) -> bytes:
    """``Y[rows, 1] = X[rows, features] @ weights + bias``; the weights are ones if not given."""
    numpy_type = DTYPES[dtype].numpy
    matrix = np.array(weights or [1.0] * features, dtype=numpy_type).reshape(features, 1)
    return model_bytes(
        [helper.make_node("MatMul", ["X", "W"], ["XW"]), helper.make_node("Add", ["XW", "b"], ["Y"])],
        [value_info("X", dtype, (rows, features))],
        [value_info("Y", dtype, (rows, 1))],
        {"W": matrix, "b": np.array([bias], dtype=numpy_type)},
    )


def scaled_bytes(weights: Sequence[float] = (1.0, 2.0), dtype: DTypeName = "float32") -> bytes:
    """``Y = X · weights``, value by value: requests for it may share runs on the event loop."""
    width = len(weights)
    return model_bytes(
        [helper.make_node("Mul", ["X", "W"], ["Y"])],
        [value_info("X", dtype, ("batch", width))],
        [value_info("Y", dtype, ("batch", width))],
        {"W": np.array(weights, dtype=DTYPES[dtype].numpy)},
    )


def classifier_bytes(
    classes: Sequence[int] | Sequence[str] = (0, 1, 2), features: int = 4, *, zipmap: bool = False
) -> bytes:
    """A linear classifier like a converter's: ``label`` and ``probabilities``, as a matrix or as maps (ZipMap)."""
    count = len(classes)
    as_text = isinstance(classes[0], str)
    labels: dict[str, Any] = (
        {"classlabels_strings": list(classes)} if as_text else {"classlabels_ints": list(classes)}
    )
    weights = np.linspace(-1, 1, count * features, dtype=np.float32)
    node = helper.make_node(
        "LinearClassifier",
        ["X"],
        ["label", "scores"],
        domain="ai.onnx.ml",
        coefficients=weights.tolist(),
        intercepts=[0.0] * count,
        multi_class=0,
        post_transform="SOFTMAX",
        **labels,
    )
    label = value_info("label", "string" if as_text else "int64", ("batch",))
    inputs = [value_info("X", "float32", ("batch", features))]
    domains = {"ai.onnx.ml": 1}
    if not zipmap:
        node.output[1] = "probabilities"
        outputs = [label, value_info("probabilities", "float32", ("batch", count))]
        return model_bytes([node], inputs, outputs, domains=domains)
    keys: dict[str, Any] = {
        "classlabels_strings" if as_text else "classlabels_int64s": list(classes),
    }
    zipped = helper.make_node("ZipMap", ["scores"], ["probabilities"], domain="ai.onnx.ml", **keys)
    map_type = helper.make_map_type_proto(
        TensorProto.STRING if as_text else TensorProto.INT64,
        helper.make_tensor_type_proto(TensorProto.FLOAT, []),
    )
    maps = helper.make_value_info("probabilities", helper.make_sequence_type_proto(map_type))
    return model_bytes([node, zipped], inputs, [label, maps], domains=domains)


def identity_bytes(dtype: DTypeName, shape: Sequence[Dimension] | None = ("batch", 2)) -> bytes:
    """``Y = X``, for any element type and shape."""
    return model_bytes(
        [helper.make_node("Identity", ["X"], ["Y"])],
        [value_info("X", dtype, shape)],
        [value_info("Y", dtype, shape)],
    )


def slow_model_bytes(size: int = 256, depth: int = 24) -> bytes:
    """A chain of big matrix products: some milliseconds a run, however many rows. ``Y[rows, size]``."""
    nodes = [helper.make_node("MatMul", ["S", "S"], ["M0"])]
    nodes += [helper.make_node("MatMul", [f"M{i}", "S"], [f"M{i + 1}"]) for i in range(depth)]
    # The square starts from the input, so that no optimizer computes the chain once and for all.
    return model_bytes(
        [
            helper.make_node("ReduceSum", ["X"], ["x"], keepdims=0),
            helper.make_node("Add", ["W", "x"], ["S"]),
            *nodes,
            helper.make_node("MatMul", ["X", f"M{depth}"], ["Y"]),
        ],
        [value_info("X", "float32", ("batch", size))],
        [value_info("Y", "float32", ("batch", size))],
        {"W": np.full((size, size), 1e-3, dtype=np.float32)},
    )


def hungry_model_bytes() -> bytes:
    """It takes four bytes of memory for each unit of its greatest value: ``Y[rows] = X[rows] + 0 * sum(range(max(X)))``."""
    nodes = [
        helper.make_node("ReduceMax", ["X"], ["most"], keepdims=0),
        helper.make_node("Range", ["zero", "most", "one"], ["steps"]),
        helper.make_node("ReduceSum", ["steps"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["X", "nothing"], ["Y"]),
    ]
    shape = ("batch", 1)
    weights = {"zero": np.float32(0), "one": np.float32(1)}
    return model_bytes(
        nodes, [value_info("X", "float32", shape)], [value_info("Y", "float32", shape)], weights
    )


def failing_model_bytes() -> bytes:
    """``Y = table[X]``, a lookup in three rows: runs on zeros, and ONNX Runtime fails where an index is too large.

    It fails in a `Reshape`, for which it does not blame the inputs.
    """
    return model_bytes(
        [
            helper.make_node("Min", ["X", "last"], ["inside"]),
            helper.make_node("Gather", ["table", "inside"], ["found"]),
            helper.make_node("Sub", ["X", "inside"], ["beyond"]),
            helper.make_node("ReduceMax", ["beyond"], ["most"], keepdims=1),
            helper.make_node("Shape", ["X"], ["rows"]),
            helper.make_node("Add", ["rows", "most"], ["shape"]),
            helper.make_node("Reshape", ["found", "shape"], ["Y"]),
        ],
        [value_info("X", "int64", ("batch",))],
        [value_info("Y", "float32", ("batch",))],
        {"table": np.array([1, 2, 3], dtype=np.float32), "last": np.array(2, dtype=np.int64)},
    )


def open_width_bytes() -> bytes:
    """``Y = X · W`` with four rows in ``W``: declares no width of ``X``, and ONNX Runtime fails on any but four."""
    return model_bytes(
        [helper.make_node("MatMul", ["X", "W"], ["Y"])],
        [value_info("X", "float32", ("batch", None))],
        [value_info("Y", "float32", ("batch", 3))],
        {"W": np.ones((4, 3), dtype=np.float32)},
    )


def endless_model_bytes() -> bytes:
    """A loop of 2**62 steps in some 200 bytes."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Add", ["v", "v"], ["v2"])],
        "body",
        [value_info("i", "int64", ()), value_info("c", "bool", ()), value_info("v", "float32", None)],
        [value_info("c2", "bool", ()), value_info("v2", "float32", None)],
    )
    return model_bytes(
        [helper.make_node("Loop", ["n", "t", "X"], ["Y"], body=body)],
        [value_info("X", "float32", ("batch",))],
        [value_info("Y", "float32", None)],
        {"n": np.array(2**62, dtype=np.int64), "t": np.array(True)},
    )


def steps_bytes() -> bytes:
    """``Y = X``, after a loop of as many steps as the greatest X says: at once, or never."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Neg", ["v"], ["v2"])],
        "body",
        [value_info("i", "int64", ()), value_info("c", "bool", ()), value_info("v", "int64", ("batch",))],
        [value_info("c2", "bool", ()), value_info("v2", "int64", ("batch",))],
    )
    return model_bytes(
        [
            helper.make_node("ReduceMax", ["X"], ["n"], keepdims=0),
            helper.make_node("Mul", ["X", "zero"], ["nothing"]),
            helper.make_node("Loop", ["n", "t", "nothing"], ["looped"], body=body),
            helper.make_node("Add", ["X", "looped"], ["Y"]),
        ],
        [value_info("X", "int64", ("batch",))],
        [value_info("Y", "int64", ("batch",))],
        {"t": np.array(True), "zero": np.array(0, dtype=np.int64)},
    )


def two_input_bytes() -> bytes:
    """``Y = cos(A + B)``, each ``float32[rows, 1]``: a model with more than one input."""
    return model_bytes(
        [helper.make_node("Add", ["A", "B"], ["S"]), helper.make_node("Cos", ["S"], ["Y"])],
        [value_info("A", "float32", ("batch", 1)), value_info("B", "float32", ("batch", 1))],
        [value_info("Y", "float32", ("batch", 1))],
    )


def gather_bytes() -> bytes:
    """Two elements of a table of three, by their places: ONNX Runtime fails on a place that there is not."""
    return model_bytes(
        [helper.make_node("Gather", ["D", "I"], ["Y"])],
        [value_info("D", "float32", (3,)), value_info("I", "int64", (2,))],
        [value_info("Y", "float32", (2,))],
    )


def split_bytes() -> bytes:
    """A sequence with as many tensors as there are rows."""
    tensor = helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)
    return model_bytes(
        [helper.make_node("SplitToSequence", ["X"], ["S"], axis=0)],
        [value_info("X", "float32", ("batch", 2))],
        [helper.make_value_info("S", helper.make_sequence_type_proto(tensor))],
    )


def signature_of(model: bytes) -> Signature:
    """The signature of a model whose inputs and outputs are all tensors, from what its file declares."""
    graph = onnx.load_model_from_string(model).graph
    return Signature(
        inputs=tuple(_tensor(value) for value in graph.input),
        outputs=tuple(_tensor(value) for value in graph.output),
    )


def make_manifest(
    model: bytes, signature: Signature | None = None, *, files: Mapping[str, bytes] | None = None, **more: Any
) -> Manifest:
    """The manifest that describes a model file and the files beside it; `more` are further fields of `Manifest`."""
    return Manifest(
        format_version=FORMAT_VERSION,
        files={name: digest_of(data) for name, data in {MODEL_FILE: model, **(files or {})}.items()},
        signature=signature or signature_of(model),
        opset={"ai.onnx": 21},
        **more,
    )


def digest_of(data: bytes) -> FileDigest:
    """What a manifest says of a file with this content."""
    return FileDigest(len(data), hashlib.sha256(data).hexdigest())


def write_version(
    store: Path,
    name: str,
    number: int,
    model: bytes,
    manifest: Manifest | bool = True,
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """Put a version into a store by hand, without any of the code that publishes.

    Args:
        store: The store's folder; made if it is new.
        name: The model's name.
        number: The version's number.
        model: The model file.
        manifest: What manifest.json holds; True makes one that fits, False leaves the model file bare.
        files: Further files of the version, by name.

    Returns:
        The version's folder.
    """
    folder = store / name / str(number)
    folder.mkdir(parents=True)
    for file_name, data in {MODEL_FILE: model, **(files or {})}.items():
        (folder / file_name).write_bytes(data)
    if manifest is True:
        manifest = make_manifest(model, files=files)
    if isinstance(manifest, Manifest):
        (folder / MANIFEST_FILE).write_bytes(manifest.encode())
    return folder


def write_model_toml(store: Path, name: str, text: str) -> Path:
    """Write a model's model.toml."""
    path = store / name / "model.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    names: dict[int, DTypeName] = {number: name for name, number in ELEMENT_TYPES.items()}
    tensor = value.type.tensor_type
    shape: list[Dimension] = [
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in tensor.shape.dim
    ]
    return Tensor(value.name, names[tensor.elem_type], tuple(shape))
