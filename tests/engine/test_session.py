"""A graph that can be run: every element type in and out, and a reason where one cannot be served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from foretell.engine.session import Session
from foretell.errors import InvalidInputError, RunError, ScreeningError
from foretell.signature import Tensor
from foretell.tensors import DTYPES, DTypeName
from tests.models import (
    classifier_bytes,
    failing_model_bytes,
    identity_bytes,
    linear_model_bytes,
    model_bytes,
    split_bytes,
    two_input_bytes,
    value_info,
)

SAMPLES: dict[DTypeName, list[Any]] = {
    "bool": [True, False],
    "string": ["größe", ""],
    **{name: [dtype.minimum, dtype.maximum] for name, dtype in DTYPES.items() if dtype.minimum is not None},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("declared", "shape"),
    [(("batch", 2), (1, 2)), (("batch",), (2,)), ((), ()), ((1, 2, 1), (1, 2, 1))],
    ids=["matrix", "vector", "scalar", "fixed cube"],
)
def test_every_element_type_goes_through_unchanged(
    dtype: DTypeName, declared: tuple[int | str, ...], shape: tuple[int, ...]
) -> None:
    session = Session(identity_bytes(dtype, declared))
    values = SAMPLES[dtype][: int(np.prod(shape))]
    given = np.array(values, dtype=DTYPES[dtype].numpy).reshape(shape)

    answer = session.run({"X": given})["Y"]

    assert session.inputs == (Tensor("X", dtype, declared),)
    assert isinstance(answer, np.ndarray)
    assert answer.dtype == given.dtype
    assert answer.shape == shape
    assert answer.tolist() == given.tolist()


def test_a_model_is_opened_from_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(linear_model_bytes(weights=[2, 3], bias=1))
    answer = Session(path, threads=2).run({"X": np.array([[10, 100]], dtype=np.float32)})
    assert answer["Y"].tolist() == [[321]]


def test_a_model_may_have_several_inputs() -> None:
    session = Session(two_input_bytes())
    one = np.zeros((3, 1), dtype=np.float32)
    assert [tensor.name for tensor in session.inputs] == ["A", "B"]
    assert session.run({"A": one, "B": one})["Y"].tolist() == [[1], [1], [1]]


@pytest.mark.parametrize("classes", [(3, 1, 2), ("c", "a", "b")], ids=["numbers", "strings"])
def test_a_zipmap_becomes_a_matrix(classes: Any) -> None:
    rows = np.array([[1, 2, 3, 4], [4, 3, 2, 1]], dtype=np.float32)
    plain = Session(classifier_bytes(classes)).run({"X": rows})
    zipped = Session(classifier_bytes(classes, zipmap=True)).run({"X": rows})
    order = np.argsort(classes)
    assert zipped["label"].tolist() == plain["label"].tolist()
    assert zipped["probabilities"].tolist() == plain["probabilities"][:, order].tolist()


def sequence_model() -> bytes:
    return model_bytes(
        [helper.make_node("SequenceConstruct", ["X", "X"], ["S"])],
        [value_info("X", "float32", ("batch", 2))],
        [
            helper.make_value_info(
                "S", helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
            )
        ],
    )


def test_a_sequence_of_tensors_is_flattened() -> None:
    session = Session(sequence_model())
    assert session.outputs[0].kind == "sequence"
    answer = session.run({"X": np.ones((1, 2), dtype=np.float32)})
    assert {name: value.tolist() for name, value in answer.items()} == {"S_0": [[1, 1]], "S_1": [[1, 1]]}


def test_a_sequence_is_as_long_as_its_inputs_make_it() -> None:
    session = Session(split_bytes())
    two, three = (np.ones((rows, 2), dtype=np.float32) for rows in (2, 3))
    assert list(session.run({"X": three})) == ["S_0", "S_1", "S_2"]
    assert list(session.run({"X": three}, ["S_2"])) == ["S_2"]
    with pytest.raises(InvalidInputError, match=r"\$\.outputs: for these inputs the model gives no 'S_2'"):
        session.run({"X": two}, ["S_0", "S_2"])


def test_an_output_of_no_dimension_is_an_array() -> None:
    model = model_bytes(
        [helper.make_node("ReduceSum", ["X"], ["Y"], keepdims=0)],
        [value_info("X", "float32", ("batch", 2))],
        [value_info("Y", "float32", ())],
    )
    answer = Session(model).run({"X": np.ones((3, 2), dtype=np.float32)})["Y"]
    assert isinstance(answer, np.ndarray)
    assert (answer.shape, answer.tolist()) == ((), 6)


def test_an_output_of_unknown_rank_is_given_as_it_is() -> None:
    model = model_bytes(
        [helper.make_node("Reshape", ["X", "shape"], ["Y"])],
        [value_info("X", "float32", ("batch", 2)), value_info("shape", "int64", ("rank",))],
        [value_info("Y", "float32", None)],
    )
    session = Session(model)
    assert session.outputs[0].shape == ()
    answer = session.run({"X": np.ones((2, 2), dtype=np.float32), "shape": np.array([2, 1, 2])})
    assert answer["Y"].shape == (2, 1, 2)


def test_axes_without_a_name_or_length_are_variable() -> None:
    session = Session(identity_bytes("float32", (None, 3, "width")))
    assert session.inputs[0].shape == (None, 3, "width")


def cast_model(to: int, *, at: str) -> bytes:
    """A model with an element type at its input or its output that numpy does not have."""
    there = helper.make_tensor_value_info("X" if at == "input" else "Y", to, ["batch", 2])
    here = value_info("Y" if at == "input" else "X", "float32", ("batch", 2))
    node = helper.make_node("Cast", ["X"], ["Y"], to=TensorProto.FLOAT if at == "input" else to)
    return model_bytes([node], [there if at == "input" else here], [here if at == "input" else there])


@pytest.mark.parametrize("at", ["input", "output"])
def test_bfloat16_is_refused_by_name(at: str) -> None:
    with pytest.raises(
        ScreeningError, match=rf"the {at} '[XY]' has the type tensor\(bfloat16\), which cannot be"
    ):
        Session(cast_model(TensorProto.BFLOAT16, at=at))


def test_a_map_as_input_is_refused_by_name() -> None:
    maps = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    model = model_bytes(
        [helper.make_node("CastMap", ["X"], ["Y"], domain="ai.onnx.ml")],
        [helper.make_value_info("X", maps)],
        [value_info("Y", "float32", (1, None))],
        domains={"ai.onnx.ml": 1},
    )
    with pytest.raises(ScreeningError, match=r"the input 'X' has the type map\(int64,tensor\(float\)\)"):
        Session(model)


def unknown_operator() -> bytes:
    return model_bytes(
        [helper.make_node("NoSuchOperator", ["X"], ["Y"])],
        [value_info("X", "float32", ("batch", 2))],
        [value_info("Y", "float32", ("batch", 2))],
    )


def custom_domain() -> bytes:
    return model_bytes(
        [helper.make_node("Mine", ["X"], ["Y"], domain="com.example")],
        [value_info("X", "float32", ("batch", 2))],
        [value_info("Y", "float32", ("batch", 2))],
        domains={"com.example": 1},
    )


def too_new() -> bytes:
    model = onnx.load_model_from_string(linear_model_bytes())
    model.ir_version = 999
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    "model",
    [b"", b"not a model", linear_model_bytes()[:-10], unknown_operator(), custom_domain(), too_new()],
    ids=["empty", "no model", "truncated", "unknown operator", "custom operator", "newer format"],
)
def test_a_model_that_the_runtime_refuses_is_refused_with_its_reason(model: bytes) -> None:
    with pytest.raises(ScreeningError, match=r"ONNX Runtime refuses the model: ."):
        Session(model)


def test_a_file_in_the_runtime_s_own_format_is_refused(tmp_path: Path) -> None:
    """It is not protobuf, so screening could not have understood it."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(linear_model_bytes(), options)
    with pytest.raises(ScreeningError):
        Session((tmp_path / "model.ort").read_bytes())


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScreeningError, match=r"model\.onnx"):
        Session(tmp_path / "model.onnx")


BAD_RUNS: dict[str, dict[str, Any]] = {
    "index out of range": {"X": np.array([99])},
    "wrong type": {"X": np.array([1.5])},
    "wrong rank": {"X": np.array([[1]])},
    "unknown name": {"Z": np.array([1])},
    "missing": {},
}


@pytest.mark.parametrize("inputs", BAD_RUNS.values(), ids=BAD_RUNS)
def test_a_run_that_fails_is_a_run_error_and_the_session_goes_on(
    inputs: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    session = Session(failing_model_bytes())
    with pytest.raises(RunError):
        session.run(inputs)
    assert session.run({"X": np.array([2])})["Y"].tolist() == [3]
    # The library's own lines would be none of JSON's, and would say again what was raised.
    assert capfd.readouterr() == ("", "")
