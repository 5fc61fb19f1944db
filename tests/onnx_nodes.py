"""The cases that ONNX itself tests every operator with: a model, its inputs, and what ONNX Runtime makes of them."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import numpy as np
from onnx import TensorProto, numpy_helper

from foretell.engine.runtime import load_runtime
from foretell.tensors import Array, dtype_of_onnx, zeros

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["NodeCase", "Outcome", "are_equal", "node_cases", "outcome_of"]


class NodeCase(NamedTuple):
    """One case.

    Attributes:
        name: Its name.
        model: The model file's bytes: one operator, or those that it is defined by.
        feed: Its inputs by name, as ONNX gives them.
    """

    name: str
    model: bytes
    feed: dict[str, Any]


class Outcome(NamedTuple):
    """What ONNX Runtime by itself makes of a case.

    Attributes:
        obstacle: Why it cannot be asked over the protocol; empty if it can.
        inputs: What it is run on.
        outputs: What it gives, sequences flattened.
        random: Whether it gives something else each time.
        takes_zeros: Whether it runs on zeros.
    """

    obstacle: str
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    random: bool = False
    takes_zeros: bool = False


def node_cases() -> list[NodeCase]:
    """Every case of the installed version of ONNX; they are the same each time."""
    with _quick(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there are cases that overflow, and that divide by zero
        from onnx.backend.test.case.node import collect_testcases

        collected = collect_testcases(None)
    cases: list[NodeCase] = []
    for case in collected:
        assert case.model is not None
        names = [given.name for given in case.model.graph.input]
        for inputs, _ in case.data_sets or ():
            feed = dict(zip(names, inputs, strict=True))
            cases.append(NodeCase(case.name, case.model.SerializeToString(), feed))
    return cases


def outcome_of(case: NodeCase) -> Outcome:
    """Run a case by itself."""
    runtime = load_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session: InferenceSession = runtime.InferenceSession(
            case.model, options, providers=["CPUExecutionProvider"]
        )
    except Exception:  # noqa: BLE001 - the runtime's errors have no root of their own
        return Outcome("no session", {}, {})
    sequences = [node for node in session.get_outputs() if node.type.startswith("seq(tensor(")]
    types = [node.type for node in (*session.get_inputs(), *session.get_outputs()) if node not in sequences]
    types += [node.type[4:-1] for node in sequences]
    unknown = [name for name in types if dtype_of_onnx(name) is None]
    if unknown or not case.feed:
        return Outcome(unknown[0] if unknown else "no inputs", {}, {})
    inputs = {name: _array(value) for name, value in case.feed.items()}
    dtypes = {node.name: dtype_of_onnx(node.type) for node in session.get_inputs()}
    none = {name: zeros(dtype, inputs[name].shape) for name, dtype in dtypes.items() if dtype is not None}
    takes_zeros = _run(session, none) is not None
    if sequences and not takes_zeros:
        return Outcome("a sequence of unknown length", inputs, {})
    # A random operator may draw the same twice: some do at first.
    outputs, *others = [_run(session, inputs) for _ in range(4)]
    if outputs is None:
        return Outcome("runs on zeros only" if takes_zeros else "no run", inputs, {})
    same = all(
        other is not None and all(are_equal(array, other[name]) for name, array in outputs.items())
        for other in others
    )
    return Outcome("", inputs, outputs, not same, takes_zeros)


def are_equal(one: Array, other: Array) -> bool:
    """Whether two tensors are equal, bit for bit; one NaN is as good as another."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.kind != "f":
        return np.array_equal(one, other)
    return np.array_equal(one, other, equal_nan=True) and np.array_equal(
        np.signbit(one[one == 0]), np.signbit(other[other == 0])
    )


def _run(session: InferenceSession, inputs: dict[str, Array]) -> dict[str, Array] | None:
    """The outputs of one run, sequences flattened; None if it fails."""
    try:
        values = session.run(None, inputs)
    except Exception:  # noqa: BLE001 - as above
        return None
    outputs: dict[str, Array] = {}
    for node, value in zip(session.get_outputs(), values, strict=True):
        if node.type.startswith("seq("):
            outputs |= {f"{node.name}_{place}": np.asarray(part) for place, part in enumerate(value)}
        else:
            outputs[node.name] = np.asarray(value)
    return outputs


def _array(value: Any) -> Array:
    """An input in memory of its own: how it lies there makes a difference to the last bits of some outputs."""
    array = np.array(numpy_helper.to_array(value) if isinstance(value, TensorProto) else value)
    return array.astype(object) if array.dtype.kind in "SU" else array


@contextlib.contextmanager
def _quick() -> Generator[None]:
    """Leave out of collecting what takes nearly all of its time and is not asked for.

    These are the answers of pooling, of which only the shapes are needed, and excerpts of the cases' source.
    """

    def pooled(
        padded: Array, shape: Any, kernel: Any, strides: Any, out_shape: Any, *_: Any, **__: Any
    ) -> Array:
        return np.zeros([*shape[:2], *out_shape], dtype=padded.dtype)

    def excerpt(_: str, name: str, __: object) -> tuple[str, str]:
        return name, ""

    state = np.random.get_state()  # noqa: NPY002 - collecting sets its seed again and again
    with (
        patch("onnx.reference.ops.op_pool_common.pool", pooled),
        patch("onnx.backend.test.case.base.process_snippet", excerpt),
    ):
        yield
    np.random.set_state(state)  # noqa: NPY002
